import pytest
from onnx_files import write_onnx


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Folders of a detector and a tracker."""
    folder = tmp_path_factory.mktemp("onnx")
    return tuple(
        write_onnx(folder / task / "model.onnx", task).parent
        for task in ("classification", "tracking")
    )
