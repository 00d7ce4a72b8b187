import pytest


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["predict", "."], "--out"),
        (["predict", ".", "--out", "y", "--formats", "pdf"], "csv, netcdf, geojson"),
        (["predict", ".", "--out", "y", "--start", "someday"], "someday"),
        (["predict", ".", "--out", "y", "--threshold", "2"], "threshold is 2"),
        (["predict", ".", "--out", "y", "--threads", "0"], "--threads"),
        (["predict", ".", "--out", "y", "--device", "tensorrt"], "add --runtime onnx"),
        (["predict", ".", "--out", "y", "--runtime", "onnx", "--device", "mps"], "tensorrt"),
        (["demo", "--out", "y", "--runtime", "tensorflow"], "onnx"),
        (["demo", "--out", "y", "--device", "tensorrt"], "add --runtime onnx"),
        (["predict", ".", "--out", "y", "--domain", "1,2,3"], "WEST,SOUTH,EAST,NORTH"),
        (["detect"], "detect"),
    ],
)
def test_wrong_use_exits_with_2(medicane, arguments, complaint):
    code, _, err = medicane(*arguments)
    assert code == 2
    assert complaint in err


def test_a_revision_of_what_is_not_on_the_hub_is_refused(medicane, tmp_path):
    code, _, err = medicane("inspect", "medicane-tiny-detector", "--revision", "v2")
    assert code == 2
    assert "revision is 'v2' and medicane-tiny-detector is not on the Hub; leave it out" in err
