import os
from importlib import metadata
from pathlib import Path

import pytest

# one test a core: two threads each on shared cores wait for one another
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real satellite data and tracks, which lies beside the project or nowhere."""
    for parent in Path(__file__).resolve().parents:
        if (parent / "shared" / "data").is_dir():
            return parent / "shared" / "data"
    pytest.skip("no real data beside the project")


@pytest.fixture
def in_a_source_tree(monkeypatch):
    """The package as it is where nobody has installed it."""
    installed = metadata.distribution

    def absent(name: str) -> metadata.Distribution:
        if name == "medicane-models":
            raise metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(metadata, "distribution", absent)
