"""Errors of libraries in one line."""

import pytest

from lip_ray.errors import first_line


@pytest.mark.parametrize(
    ("error", "said"),
    [(OSError("\n gone \nat 3"), "gone "), (ValueError(), "ValueError()"), (KeyError("a"), "'a'")],
)
def test_the_first_line_of_an_error(error: Exception, said: str) -> None:
    assert first_line(error) == said
