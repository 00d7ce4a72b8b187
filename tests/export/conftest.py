import pytest
from export_models import PROCESSOR, QUICK, tiny_source

from medicane_export.exporting import OnnxRequest, export_onnx
from medicane_models.simulation import simulate_scene


@pytest.fixture(scope="session")
def every_precision(tmp_path_factory):
    """A detector in four precisions, compared on random, simulated and given clips."""
    out = tmp_path_factory.mktemp("all")
    scene = tmp_path_factory.mktemp("scene") / "scene.zarr"
    simulated, _ = simulate_scene(hours=0.5, grid=PROCESSOR.grid, seed=5)
    simulated.drop_encoding().to_zarr(scene, zarr_format=2)
    request = OnnxRequest(precisions=("fp32", "fp16", "bf16", "int8"), clips=(str(scene),), **QUICK)
    return out, export_onnx(tiny_source(), out, request, lambda _: None)
