"""``medicane-train data build``."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from medicane_models.checks import check_present, check_processor
from medicane_models.choices import ProcessorName
from medicane_models.commands import (
    Domain,
    Extent,
    Json,
    Out,
    Reader,
    Revision,
    Scenes,
    Seed,
    checked,
    parsed_settings,
)
from medicane_models.errors import ConfigurationError
from medicane_training.cli.grids import store_grid
from medicane_training.cli.strata import tell_strata

if TYPE_CHECKING:
    from medicane_models.scenes.processing import MedicaneProcessor
    from medicane_training.store.clip_store import ClipStore

OF_TILES = {"tile_stride": None, "calm_share": 1.0, "rule": "last_frame", "neighbours": False}


def build(
    scenes: Scenes,
    out: Out,
    reader: Reader = None,
    tracks: Annotated[
        Path | None,
        typer.Option(
            callback=checked(check_present),
            help="Known storms of the period; default: no labels.",
        ),
    ] = None,
    processor: Annotated[
        str | None,
        typer.Option(
            callback=checked(check_processor),
            help="airmass, infrared (one channel), planes (one channel, any imager), "
            "airmass-planes, or folder or Hub id of a processor; default: airmass.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A setting of the processor, such as channel=IR_108, num_frames=4 or "
            "cadence_minutes=15; may come often.",
        ),
    ] = None,
    revision: Revision = None,
    domain: Domain = "model",
    extent: Extent = None,
    every: Annotated[int, typer.Option(min=1, help="Minutes between the ends of clips.")] = 60,
    tile_stride: Annotated[
        int | None,
        typer.Option(min=1, help="Pixels between tiles; default: the fewest that cover the grid."),
    ] = None,
    calm_share: Annotated[
        float, typer.Option(help="Share of the clip ends without storms to keep, 0 … 1.")
    ] = 1.0,
    sample_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of planes: pixels along a side of what is kept of a place; default: 2.9 tiles.",
        ),
    ] = None,
    negatives_per_frame: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Of planes: places without a storm that are kept of a frame, the hard ones more "
            "often; default: 4.",
        ),
    ] = None,
    seed: Seed = 0,
    rule: Annotated[
        Literal["last_frame", "research"], typer.Option(help="What makes a cyclone clip.")
    ] = "last_frame",
    neighbours: Annotated[
        bool, typer.Option("--neighbours", help="Tiles beside a cyclone are a third class.")
    ] = False,
    max_gap_hours: Annotated[
        float | None,
        typer.Option(min=0, help="Longest gap of a track to interpolate; default: 2, of planes 6."),
    ] = None,
    json: Json = False,
) -> None:
    """Build a clip store from scenes and tracks, or from one CSV of the research layout.

    A store that is there is never replaced: other scenes are added to it, and a killed build
    continues. Which calm clip ends or places are kept is drawn by --seed. With --processor planes
    every storm of the tracks that a frame shows becomes a sample with it in the middle, and places
    1200 km from all of them the others; scenes of any imager go into one store.
    """
    reads = _processor(processor, changes or [], revision)
    place = {"extent": extent, "reader": reader}
    of_tiles = {"tile_stride": tile_stride, "calm_share": calm_share, "rule": rule}
    of_tiles |= {"neighbours": neighbours}
    of_planes = {"sample_size": sample_size, "negatives_per_frame": negatives_per_frame}
    of_planes = {name: value for name, value in of_planes.items() if value is not None}
    common: dict[str, Any] = {"every_minutes": every, "seed": seed}
    if max_gap_hours is not None:
        common["max_gap_hours"] = max_gap_hours
    if reads.uses_planes:
        _refuse(of_tiles, OF_TILES, f"{processor} has planes")
        store = _build_planes(scenes, out, reads, tracks, domain, {**common, **of_planes, **place})
    else:
        _refuse(of_planes, {}, "the processor has no planes")
        reads = replace(reads, grid=store_grid(domain, reads, scenes, **place))
        store = _build_tiles(scenes, out, reads, tracks, {**common, **of_tiles, **place})
    tell_strata(store, json=json)


def _refuse(given: dict[str, Any], defaults: dict[str, Any], reason: str) -> None:
    """Options that mean nothing to a processor."""
    for name, value in given.items():
        if name not in defaults or value != defaults[name]:
            option = name.replace("_", "-")
            raise ConfigurationError(f"--{option} is {value} and {reason}; leave it out")


def _build_planes(
    scenes: Sequence[str],
    out: Path,
    processor: "MedicaneProcessor",
    tracks: Path | None,
    domain: str,
    chosen: dict[str, Any],
) -> "ClipStore":
    from medicane_models.verification.best_tracks import read_tracks
    from medicane_training.store.plane_build import build_plane_store
    from medicane_training.store.plane_index import PlaneSettings

    known = {field.name for field in fields(PlaneSettings)}
    settings = PlaneSettings(**{name: chosen.pop(name) for name in known & set(chosen)})
    storms = None if tracks is None else read_tracks(tracks)
    options = {"tracks": storms, "settings": settings, "domain": domain, **chosen}
    return build_plane_store(scenes, out, processor=processor, **options)


def _build_tiles(
    scenes: Sequence[str],
    out: Path,
    processor: "MedicaneProcessor",
    tracks: Path | None,
    chosen: dict[str, Any],
) -> "ClipStore":
    from medicane_models.verification.best_tracks import read_tracks
    from medicane_training.store.build import BuildSettings, build_store
    from medicane_training.store.labels import LabelRule
    from medicane_training.store.research_import import import_research

    place = {name: chosen.pop(name) for name in ("extent", "reader")}
    if scenes[0].endswith(".csv"):
        if len(scenes) > 1 or any(one is not None for one in (tracks, *place.values())):
            raise ConfigurationError(
                "a CSV of the research layout is imported alone, with its labels"
            )
        return import_research(scenes[0], out, processor=processor)
    rule = LabelRule(kind=chosen.pop("rule"), neighbours=chosen.pop("neighbours"))
    options = {"settings": BuildSettings(rule=rule, **chosen), **place}
    storms = None if tracks is None else read_tracks(tracks)
    return build_store(scenes, out, processor=processor, tracks=storms, **options)


def _processor(
    name: str | None, changes: Sequence[str], revision: str | None
) -> "MedicaneProcessor":
    """A processor by its own name, or that of a place, with some settings changed."""
    from medicane_models.scenes.processing import NAMED_SETTINGS, MedicaneProcessor

    attributes = [field.name for field in fields(MedicaneProcessor)]
    known = list(dict.fromkeys([*attributes, *NAMED_SETTINGS.get(name or "airmass", ())]))
    settings = parsed_settings(changes, known, of="a processor")
    if name is not None and name not in get_args(ProcessorName):
        return MedicaneProcessor.from_pretrained(name, revision=revision).changed(**settings)
    if revision is not None:
        raise ConfigurationError(
            f"--revision is {revision!r} and --processor names no place on the Hub; name it"
        )
    return MedicaneProcessor.named(name or "airmass", **settings)
