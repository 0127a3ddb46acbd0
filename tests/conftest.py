"""One thread for all numerics, a steady hypothesis profile, and the shared reference data."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is first imported, after this

settings.register_profile("steady", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("steady")


RAY = Path(__file__).parent / "ray"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of tests that run side by side, a file's stay together: what they share is made once.

    Those that start a Ray take turns.
    """
    for item in items:
        together = "ray" if item.path.is_relative_to(RAY) else str(item.path)
        item.add_marker(pytest.mark.xdist_group(together))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the repository; the test is skipped without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the folder of reference data, shared/, is not beside the repository")
    return folder
