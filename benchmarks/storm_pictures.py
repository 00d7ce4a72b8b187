"""Pictures around storms, by folder: what each holds, where it lies and what its greys mean.

What is drawn in is filled, and black areas are missing. Greys become kelvin by the two-point
calibrations of the data's README, guessed where it has none.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float
from PIL import Image
from scipy import interpolate, io, ndimage, optimize
from storm_samples import PROCESSOR, Kelvin, Picture, Samples

from medicane_models.domain import EARTH_RADIUS_KM, Grid, great_circle_km, local_plane
from medicane_models.domain.azimuthal import plane_crs
from medicane_models.scenes.readers.overlays import without_overlay

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
WIDEST = 14  # pixels of what is drawn in and filled
BLACK, RED, DECOYS, CUT = 2, 30, 4, 0.3
KM_PER_DEGREE = np.radians(EARTH_RADIUS_KM)
DEGREES = 10 / 113.5  # a pixel of north_indian_ir
ATLANTIC = 22.0  # degrees north, about where the storms of GridSat were
DAMIEN = pd.to_datetime("2020-02-08T08:30")
LONLAT = "+proj=longlat +datum=WGS84"
ROUND = f"+R={EARTH_RADIUS_KM * 1000:.1f} +units=m"


def grey_of(path: Path) -> Kelvin:
    """Greys of a picture."""
    return np.array(Image.open(path).convert("L"), np.float32)


def two_points(grey: Kelvin, *, warm: tuple[float, float], cold: tuple[float, float]) -> Kelvin:
    """Kelvin of greys from two pairs (grey, kelvin)."""
    (g0, t0), (g1, t1) = warm, cold
    return t0 + (grey - g0) * (t1 - t0) / (g1 - g0)


def filled(kelvin: Kelvin, drawn: Bool[np.ndarray, "y x"]) -> Kelvin:
    """Without what is drawn in."""
    return without_overlay(kelvin.astype(np.float32), drawn, widest=WIDEST)


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


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """Rows whose fields have the names of the columns."""
    yield from table.itertuples()


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
