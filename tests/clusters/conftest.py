"""What all clusters of hosts are compared with."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))

from cluster_sweep import SWEEP
from studies import run_all


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a run that was left alone, without Ray."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "hosts.yaml").write_text(SWEEP)
    run_all(folder / "hosts.yaml", folder / "store")
    return folder / "store"
