"""From channels in kelvin to what a model reads, saved beside its weights.

Letters: T frames, C bands, H rows, W columns.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Unpack, get_args

import numpy as np
from jaxtyping import Float

from medicane_models.choices import ProcessorName
from medicane_models.domain import MEDITERRANEAN, Grid, local_plane
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.fields import (
    Count,
    Probability,
    Range,
    check_fields,
    from_mapping,
    json_object,
)
from medicane_models.files import write_json
from medicane_models.hub import HubOptions, resolve_file

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["AIRMASS_LIMITS", "ANY_SENSOR", "Band", "MedicaneProcessor", "airmass_bands"]

NAMED_SETTINGS = {
    "airmass": ("sensor",),
    "infrared": ("sensor", "channel", "low", "high"),
    "planes": ("channel", "low", "high", "size", "km", "num_frames"),
    "airmass-planes": ("sensor", "size", "km", "num_frames"),
}
PREPROCESSOR_FILE = "preprocessor_config.json"
ANY_SENSOR = "any"
LATITUDE_LIMIT = 50.0
"""Degrees. Of the positions in IBTrACS of 1980 to 2024 with 25 kt and more, 0.5 % lie farther from
the equator, where deep lows are many."""
SEEN = "seen"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Kelvin = Annotated[float, Range(least=-500, most=500)]
Minutes = Annotated[float, Range(above=0, most=1440)]
Share = Annotated[float, Range(least=0, most=1)]
Spare = Annotated[int, Range(least=0)]
Overlap = Annotated[float, Range(least=0, most=0.9)]
LatitudeLimit = Annotated[float, Range(least=1, most=90)]

AIRMASS_LIMITS: Mapping[str, tuple[tuple[float, float], ...]] = {
    "seviri": ((-25.0, 0.0), (-40.0, 5.0), (243.0, 208.0)),
    "fci": ((-23.8, 1.4), (-39.7, 4.1), (244.5, 209.4)),
    "abi": ((-26.2, 0.6), (-43.2, 6.7), (243.9, 208.5)),
    "ahi": ((-26.2, 0.6), (-43.2, 6.7), (243.9, 208.5)),
}
"""Kelvin shown as 0 and as 1 in red, green and blue of the Airmass RGB, by sensor: EUMETSAT's
recipe for SEVIRI and, for the others, the limits that show the same air mass in the same colour."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """One band of the model's input: a channel, or a difference of two, stretched to 0…1.

    Attributes:
        name: what a legend calls it.
        channel: the scene variable in kelvin.
        minus: the variable subtracted from it, if any.
        low: kelvin that become 0; may exceed ``high`` for an inverted band.
        high: kelvin that become 1.
    """

    name: str
    channel: str
    minus: str | None = None
    low: Kelvin
    high: Kelvin

    def __post_init__(self) -> None:
        check_fields(self)
        if self.channel == self.minus:
            raise ConfigurationError(f"band {self.name} subtracts {self.minus} from itself")
        if self.low == self.high:
            raise ConfigurationError(f"band {self.name}: low and high are both {self.low} K")

    def __str__(self) -> str:
        value = f"{self.channel} − {self.minus}" if self.minus else self.channel
        return f"{value} from {self.low:g} K (0) to {self.high:g} K (1)"


def airmass_bands(sensor: str) -> tuple[Band, Band, Band]:
    """Red, green and blue of the Airmass RGB with the limits of ``sensor``."""
    if sensor not in AIRMASS_LIMITS:
        known = ", ".join(AIRMASS_LIMITS)
        raise ConfigurationError(f"no Airmass limits are known for sensor {sensor!r}, only {known}")
    red, green, blue = AIRMASS_LIMITS[sensor]
    return (
        Band(name="red", channel="WV_062", minus="WV_073", low=red[0], high=red[1]),
        Band(name="green", channel="IR_097", minus="IR_108", low=green[0], high=green[1]),
        Band(name="blue", channel="WV_062", low=blue[0], high=blue[1]),
    )


@dataclass(frozen=True, kw_only=True)
class MedicaneProcessor:
    """All that lies between a scene and a model's input, and the geometry it was made for.

    Attributes:
        recipe: "airmass", or "channels" for bands of one's own.
        sensor: whose limits ``bands`` holds.
        bands: the model's input bands, in order.
        mean: of each band after the stretch, subtracted.
        std: of each band after the stretch, divided by.
        tile_size: rows and columns of a tile.
        num_frames: frames of a clip.
        cadence_minutes: from a frame to the next.
        missing: what stands for a frame that is missing: "filled", a copy of the nearest; "marked",
            nothing, and a further channel of the clip is 1 where a pixel was seen and 0 elsewhere.
            The newest frame is then always there.
        max_missing: frames of a clip that may be missing.
        time_convention: what the time of a frame means: "end_of_scan" or "start_of_scan".
        grid: the pixels the model was trained on; with planes, the one around 0°E 0°N, since all
            planes are alike.
        plane_overlap: None where tiles lie at fixed offsets of ``grid``; otherwise they are local
            planes anywhere on Earth, each ``tile_size`` pixels wide, and neighbours share this much
            of a side.
        latitude_limit: degrees from the equator up to which a scene is covered by planes; None
            covers all that it shows.
    """

    recipe: Literal["airmass", "channels"]
    sensor: str
    bands: tuple[Band, ...]
    mean: tuple[Share, ...]
    std: tuple[Probability, ...]
    tile_size: Count = 224
    num_frames: Count = 16
    cadence_minutes: Minutes = 5.0
    missing: Literal["filled", "marked"] = "filled"
    max_missing: Spare = 2
    time_convention: Literal["end_of_scan", "start_of_scan"] = "end_of_scan"
    grid: Grid = MEDITERRANEAN
    plane_overlap: Overlap | None = None
    latitude_limit: LatitudeLimit | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if not len(self.bands) == len(self.mean) == len(self.std) > 0:
            raise ConfigurationError(
                f"{len(self.bands)} bands, {len(self.mean)} means and {len(self.std)} standard "
                "deviations were given; give one of each a band"
            )
        if self.recipe == "airmass" and self.bands != airmass_bands(self.sensor):
            raise ConfigurationError(
                f"the bands are not those of the Airmass RGB of {self.sensor}; take "
                'airmass_bands(sensor), or the recipe "channels" for bands of your own'
            )
        if self.max_missing >= self.num_frames:
            raise ConfigurationError(
                f"max_missing is {self.max_missing}; give 0 … {self.num_frames - 1}"
            )
        _check_grid(self.grid)
        if self.uses_planes:
            _check_plane(self.grid, self.tile_size)
        elif self.latitude_limit is not None:
            raise ConfigurationError(
                f"latitude_limit is {self.latitude_limit:g}, and fixed tiles lie where their grid "
                "lies; set it to null, or give plane_overlap for local planes"
            )

    @classmethod
    def airmass(cls, sensor: str = "seviri", **overrides: Any) -> "MedicaneProcessor":
        """Airmass RGB normalised by ImageNet's statistics, as the research models read it."""
        values = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, **overrides}
        return cls(recipe="airmass", sensor=sensor, bands=airmass_bands(sensor), **values)

    @classmethod
    def infrared(
        cls,
        channel: str = "IR_108",
        *,
        sensor: str = "seviri",
        low: float = 310.0,
        high: float = 190.0,
        **overrides: Any,
    ) -> "MedicaneProcessor":
        """One channel, cold clouds bright, with limits in kelvin for the surface and the tops."""
        values = {"mean": (0.5,), "std": (0.25,), **overrides}
        band = Band(name=channel, channel=channel, low=low, high=high)
        return cls(recipe="channels", sensor=sensor, bands=(band,), **values)

    @classmethod
    def planes(
        cls,
        channel: str = "IR_108",
        *,
        size: int = 112,
        km: float = 10.0,
        num_frames: int = 4,
        **overrides: Any,
    ) -> "MedicaneProcessor":
        """One infrared channel of any imager on local planes, frames an hour apart.

        Scenes are covered up to LATITUDE_LIMIT from the equator.

        Args:
            channel: the scene variable.
            size: pixels along a side of a plane.
            km: kilometres of a pixel.
            num_frames: frames of a clip, of which only the newest must be there.
            **overrides: other attributes, and ``low`` and ``high`` as in :meth:`infrared`.
        """
        values = {"sensor": ANY_SENSOR, **_on_planes(size, km, num_frames), **overrides}
        return cls.infrared(channel, **values)

    @classmethod
    def airmass_planes(
        cls,
        sensor: str = "seviri",
        *,
        size: int = 112,
        km: float = 10.0,
        num_frames: int = 4,
        **overrides: Any,
    ) -> "MedicaneProcessor":
        """Airmass RGB on local planes, frames an hour apart; arguments as of :meth:`planes`."""
        return cls.airmass(sensor, **{**_on_planes(size, km, num_frames), **overrides})

    @classmethod
    def named(cls, name: str, **settings: Any) -> "MedicaneProcessor":
        """The processor of that name with some settings of one's own, by their names in JSON.

        Args:
            name: ``airmass``, ``infrared``, ``planes`` or ``airmass-planes``.
            **settings: what the method of that name takes, and any attribute.

        Raises:
            ConfigurationError: if one is unknown or wrong.
        """
        if name not in get_args(ProcessorName):
            known = ", ".join(get_args(ProcessorName))
            raise ConfigurationError(f"no processor is called {name!r}; take one of {known}")
        given = {key: settings.pop(key) for key in NAMED_SETTINGS[name] if key in settings}
        return getattr(cls, name.replace("-", "_"))(**given).changed(**settings)

    def changed(self, **settings: Any) -> "MedicaneProcessor":
        """With other attributes, by their names in JSON; what does not fit is an error."""
        return self.from_dict(self.to_dict() | settings)

    def resized(self, *, tile_size: int, num_frames: int) -> "MedicaneProcessor":
        """For clips of another size or length, of which as many frames may be missing or fewer."""
        changes: dict[str, Any] = {"tile_size": tile_size, "num_frames": num_frames}
        if self.uses_planes:
            changes["grid"] = local_plane(0.0, 0.0, size=tile_size, km=self.grid.x_step / 1000)
        missing = num_frames - 1 if self.marks_missing else min(self.max_missing, num_frames - 1)
        return replace(self, **changes, max_missing=missing)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "MedicaneProcessor":
        """Restore what :meth:`to_dict` returned; an unknown or missing key is an error."""
        return from_mapping(cls, values)

    def to_dict(self) -> dict[str, Any]:
        """All attributes, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_pretrained(
        cls, id_or_dir: str | Path, **hub_options: Unpack[HubOptions]
    ) -> "MedicaneProcessor":
        """Read ``preprocessor_config.json`` of a model: a folder, an embedded name or a Hub id."""
        path = resolve_file(id_or_dir, PREPROCESSOR_FILE, **hub_options)
        try:
            return cls.from_dict(json_object(path))
        except ConfigurationError as error:
            raise ConfigurationError(f"{path} does not describe a processor: {error}") from error

    def save_pretrained(self, directory: str | Path) -> None:
        """Write ``preprocessor_config.json`` into ``directory``."""
        write_json(Path(directory) / PREPROCESSOR_FILE, self)

    def for_sensor(self, sensor: str) -> "MedicaneProcessor":
        """The same input from another sensor: the Airmass limits harmonised for it.

        Raises:
            SceneError: if the recipe has no counterpart for that sensor.
        """
        if self.sensor in (sensor, ANY_SENSOR):
            return self
        if sensor == "unknown":
            raise SceneError(
                f"the scene does not say which sensor it is of, and the model reads "
                f"{', '.join(self.channels)} of {self.sensor}; write the sensor into the attribute "
                f'"sensor" of the files, such as "{self.sensor}"'
            )
        if self.recipe != "airmass" or sensor not in AIRMASS_LIMITS:
            known = AIRMASS_LIMITS if self.recipe == "airmass" else (self.sensor,)
            raise SceneError(
                f"the model reads {', '.join(self.channels)} of {self.sensor}, "
                f"the scene comes from {sensor}; use a scene of {' or '.join(known)}"
            )
        return replace(self, sensor=sensor, bands=airmass_bands(sensor))

    @property
    def uses_planes(self) -> bool:
        """Whether tiles are local planes and not fixed offsets of the grid."""
        return self.plane_overlap is not None

    @property
    def marks_missing(self) -> bool:
        """Whether a channel of its own says which pixels were seen."""
        return self.missing == "marked"

    @property
    def channel_names(self) -> tuple[str, ...]:
        """What each channel of a clip is: the bands, and last what marks missing pixels."""
        return (*(band.name for band in self.bands), *([SEEN] if self.marks_missing else []))

    @property
    def channel_std(self) -> tuple[float, ...]:
        """What each channel was divided by."""
        return (*self.std, *([1.0] if self.marks_missing else []))

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Shape of one clip, (T, C, H, W)."""
        return self.num_frames, len(self.channel_names), self.tile_size, self.tile_size

    @property
    def channels(self) -> tuple[str, ...]:
        """Scene variables that the bands need, each once."""
        used = [name for band in self.bands for name in (band.channel, band.minus) if name]
        return tuple(dict.fromkeys(used))

    def check_channels(self, scene: "xr.Dataset") -> None:
        """Refuse a scene that has neither the channels of the bands nor ready Airmass pictures.

        Raises:
            SceneError: naming what the scene has.
        """
        has = tuple(map(str, scene.data_vars))
        if not self._reads_pictures(scene) and not set(self.channels) <= set(has):
            raise SceneError(
                f"the model reads {', '.join(self.channels)}, and the scene of "
                f"{scene.attrs.get('source', 'the dataset')} has {', '.join(has) or 'nothing'}; "
                "give files of these channels, or take a model that reads what is there"
            )

    def layers(self, frame: "xr.Dataset") -> dict[str, Float[np.ndarray, "H W"]]:
        """What the bands of a frame are made of, by name, as views of what is in memory.

        Channels in kelvin, or the bands of a ready Airmass picture in 0…1.
        """
        if self._reads_pictures(frame):
            image = frame["airmass"].transpose("rgb", "y", "x").to_numpy()
            return {band.name: layer for band, layer in zip(self.bands, image, strict=True)}
        return {name: frame[name].to_numpy() for name in self.channels}

    def stretch(self, frame: "xr.Dataset") -> Float[np.ndarray, "C H W"]:
        """Stretch one frame of a scene to 0…1; missing pixels are NaN in every band."""
        return self.bands_of(self.layers(frame))

    def bands_of(
        self, layers: Mapping[str, Float[np.ndarray, "*n H W"]]
    ) -> Float[np.ndarray, "*n C H W"]:
        """:meth:`layers` stretched to the bands' 0…1; what is missing in one is so in all."""
        is_ready = self.recipe == "airmass" and self.bands[0].name in layers
        image = np.stack(
            [layers[band.name] if is_ready else _stretch(band, layers) for band in self.bands],
            axis=-3,
        ).astype(np.float32, copy=False)
        missing = np.isnan(image).any(axis=-3, keepdims=True)
        return np.where(missing, np.float32(np.nan), image)

    def normalise(self, clip: Float[np.ndarray, "*n bands H W"]) -> Float[np.ndarray, "*n C H W"]:
        """Subtract the mean and divide by the deviation; missing pixels become 0, the mean.

        Where missing pixels are marked, the channel that does so comes last.
        """
        mean, std = (np.asarray(v, np.float32)[:, None, None] for v in (self.mean, self.std))
        values = np.nan_to_num((clip - mean) / std, nan=0.0).astype(np.float32, copy=False)
        if not self.marks_missing:
            return values
        seen = np.isfinite(clip).all(axis=-3, keepdims=True)
        return np.concatenate([values, seen.astype(np.float32)], axis=-3)

    def _reads_pictures(self, scene: "xr.Dataset") -> bool:
        """Whether a scene has ready Airmass pictures, and the bands are these."""
        return self.recipe == "airmass" and "airmass" in scene

    def picture(self, stretched: Float[np.ndarray, "C H W"]) -> Float[np.ndarray, "H W 3"]:
        """What a person looks at: three bands in colour, any other number as the first in grey."""
        bands = stretched if len(stretched) == 3 else np.repeat(stretched[:1], 3, axis=0)
        return np.moveaxis(bands, 0, -1)


def _on_planes(size: int, km: float, num_frames: int) -> dict[str, Any]:
    """Attributes of clips of local planes, of whose frames only the newest must be there."""
    return {
        "tile_size": size,
        "num_frames": num_frames,
        "cadence_minutes": 60.0,
        "missing": "marked",
        "max_missing": num_frames - 1,
        "grid": local_plane(0.0, 0.0, size=size, km=km),
        "plane_overlap": 0.5,
        "latitude_limit": LATITUDE_LIMIT,
    }


def _stretch(band: Band, kelvin: Mapping[str, np.ndarray]) -> Float[np.ndarray, "*n H W"]:
    value = kelvin[band.channel]
    if band.minus is not None:
        value = value - kelvin[band.minus]
    return np.clip((value - band.low) / (band.high - band.low), 0.0, 1.0).astype(np.float32)


def _check_grid(grid: Grid) -> None:
    """Refuse pixels of which no scene could show any."""
    if grid.x_step < 0 or grid.y_step > 0:
        raise ConfigurationError(
            f"the grid's columns must run eastwards and its rows southwards (x_step "
            f"{grid.x_step:g}, y_step {grid.y_step:g})"
        )
    if np.isnan(grid.extent).any():
        raise ConfigurationError(f"no pixel of the grid lies on Earth ({grid})")


def _check_plane(grid: Grid, size: int) -> None:
    """Refuse a grid that is not the plane that stands for all."""
    km = grid.x_step / 1000
    if (grid.width, grid.height) != (size, size) or grid != local_plane(0.0, 0.0, size=size, km=km):
        raise ConfigurationError(
            f"the grid of local planes is the plane of {size} × {size} pixels around 0°E 0°N, not "
            f"{grid}; leave it out, or set plane_overlap to null for fixed tiles"
        )
