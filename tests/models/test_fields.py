import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from mutations import REMOVED, changed

import medicane_models
from medicane_models.errors import ConfigurationError, MedicaneError
from medicane_models.fields import Count, Range, Rate, check_fields, conform, from_mapping
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.scenes.processing import MedicaneProcessor

EMBEDDED = Path(medicane_models.__file__).parent / "pretrained"
MODELS = (
    "medicane-tiny-detector",
    pytest.param("medicane-tiny-tracker", marks=pytest.mark.slow),
)
RATES = ("drop_path_rate", "proj_drop_rate", "attn_drop_rate", "head_drop_rate")
SIZES = ("patch_size", "tubelet_size", "depth", "num_heads", "mlp_hidden_dim", "decoder_depth")
DECODER = ("decoder_num_heads", "decoder_mlp_hidden_dim")

FLAGS = ("heatmap_offset", "newest_only")

ANOTHER_MODEL: dict[str, Any] = {
    **dict.fromkeys(RATES, lambda v: v in (0, 0.25, 0.5)),
    **dict.fromkeys((*SIZES, *DECODER, "heatmap_stride"), lambda v: v == 1),
    "stem": lambda v: v in ("convolutional", "residual"),
    "stem_width": lambda v: v == 1,
    **dict.fromkeys(FLAGS, lambda v: v is True),
    "guess_power": lambda v: v > 0,
    "guess_slope": lambda v: -10 <= v <= 10,
    "layer_scale_init_value": lambda v: v in (0, 0.5, 1, 2.5),
    "pixel_std": lambda v: v is None or 0 < v <= 1,
    "id2label": lambda v: v == {} or isinstance(v, str),
    "temperature": lambda v: v in (0.5, 1, 1.25, 2.5) or 0.99 < v < 1,
    "threshold": lambda v: 0 < v <= 1,
    "trained_on": lambda v: v is None or isinstance(v, str),
    "data_kind": lambda v: v is None,
}
"""Changes of config.json that describe another model, which its weights may or may not fit."""

ANOTHER_INPUT: dict[str, Any] = {
    "mean": lambda v: 0 <= v <= 1,
    "std": lambda v: 0 < v <= 1,
    "tile_size": lambda v: v == 1,
    "cadence_minutes": lambda v: v in (0.5, 1, 2.5, 5.25),
    "max_missing": lambda v: v in (0, 1),
    "width": lambda v: v == 1,
    "height": lambda v: v == 1,
    "x_origin": lambda v: abs(v) < 2e6,
    "y_origin": lambda v: abs(v) < 5e6,
    "x_step": lambda v: 0 < v < 4e3,
    "y_step": lambda v: -4e3 < v < 0,
}
"""Changes of preprocessor_config.json that describe other pixels."""


def is_another(permitted: dict[str, Any], path: tuple[Any, ...], value: Any) -> bool:
    """Whether a change gives a field another value that it may well have."""
    name = next((key for key in reversed(path) if key in permitted), None)
    is_typed = value is None or isinstance(value, str | float | int | dict)
    if name is None or not is_typed or (isinstance(value, bool) and name not in FLAGS):
        return False
    try:
        return bool(permitted[name](value))
    except (TypeError, OverflowError):
        return False


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("file", "kind", "permitted"),
    [
        ("config.json", MedicaneConfig, ANOTHER_MODEL),
        ("preprocessor_config.json", MedicaneProcessor, ANOTHER_INPUT),
    ],
)
def test_every_field_of_a_model_is_checked(model, file, kind, permitted, tmp_path):
    document = json.loads((EMBEDDED / model / file).read_text())
    accepted = []
    for path, value, new in changed(document):
        (tmp_path / file).write_text(json.dumps(new))
        try:
            kind.from_pretrained(tmp_path)
        except MedicaneError:
            continue
        if not is_another(permitted, path, value):
            accepted.append((path, "removed" if value is REMOVED else value))
    assert accepted == []


@dataclass(frozen=True, kw_only=True)
class Settings:
    name: str
    count: Count = 1
    rate: Rate = 0.0
    size: int | tuple[int, int] = 1
    kind: Literal["a", "b"] = "a"
    flag: bool = False
    names: dict[int, str] | None = None

    def __post_init__(self) -> None:
        check_fields(self)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "", "name is ''; give text"),
        ("count", True, "count is True; give a whole number from 1"),
        ("count", 1.0, "count is 1.0"),
        ("rate", float("nan"), "rate is nan; give a number from 0, under 1"),
        ("rate", "0.5", "rate is '0.5'"),
        ("size", (1, 2, 3), "a whole number or a list of 2, each a whole number"),
        ("kind", "c", "kind is 'c'; give a or b"),
        ("flag", 1, "flag is 1; give true or false"),
        ("names", {"one": "x"}, "names is {'one': 'x'}; give a mapping or null"),
    ],
)
def test_what_does_not_fit_the_annotation_is_refused(field, value, message):
    with pytest.raises(ConfigurationError, match=message):
        Settings(**{"name": "x", field: value})


def test_values_take_the_annotated_form():
    settings = Settings(name="x", rate=0, size=[2, np.int64(3)], names={"0": "y"}, count=np.int8(4))
    assert settings == Settings(name="x", rate=0.0, size=(2, 3), names={0: "y"}, count=4)
    assert type(settings.rate) is float
    assert type(settings.count) is int


def test_keys_of_a_mapping_are_the_fields():
    with pytest.raises(ConfigurationError, match="unknown setting colour of Settings; known are"):
        from_mapping(Settings, {"name": "x", "colour": "blue"}, partial=True)
    with pytest.raises(ConfigurationError, match="Settings lacks count, rate"):
        from_mapping(Settings, {"name": "x"})
    with pytest.raises(ConfigurationError, match="give its fields by name"):
        from_mapping(Settings, ["x"])


def test_a_partly_told_dataclass_still_needs_what_has_no_default():
    @dataclass(frozen=True, kw_only=True)
    class Point:
        x: float
        y: float = 0.0

    assert from_mapping(Point, {"x": 1}, partial=True) == Point(x=1.0)
    with pytest.raises(ConfigurationError, match="Point lacks x"):
        from_mapping(Point, {"y": 1}, partial=True)


@pytest.mark.parametrize(
    ("value", "fits"), [(0, False), (1e-9, True), (1, True), (1.5, False), (10**400, False)]
)
def test_bounds_may_be_open_or_closed(value, fits):
    kind = Annotated[float, Range(above=0, most=1)]
    if fits:
        assert conform(value, kind, "share") == value
    else:
        with pytest.raises(ConfigurationError, match="above 0, up to 1"):
            conform(value, kind, "share")
