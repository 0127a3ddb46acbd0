"""A study small enough to run whole in seconds."""

from pathlib import Path

import pytest
from studies import TINY


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep file of the study that runs in seconds."""
    path = tmp_path_factory.mktemp("sweep") / "tiny.yaml"
    path.write_text(TINY)
    return path
