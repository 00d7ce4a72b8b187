"""Tiny raw files of AHI (Himawari Standard Data), ABI (level 1b) and FCI (level 1c)."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pandas as pd
import yaml
from numpy.typing import ArrayLike

from medicane_models.domain import Grid

# Planck's law in SI units
PLANCK, LIGHT, BOLTZMANN = 6.62607015e-34, 299_792_458.0, 1.380649e-23

AHI_SIZE = 50  # pixels over the full disk, where the real ones are 110 times as fine
AHI_SEGMENTS = 10
AHI_HEIGHT_M, AHI_MAJOR_M, AHI_MINOR_M = 35_785_863.0, 6_378_137.0, 6_356_752.3
AHI_COLUMN_FACTOR = round(20_466_275 * AHI_SIZE / 5500)
AHI_STEP_M = np.deg2rad(2**16 / AHI_COLUMN_FACTOR) * AHI_HEIGHT_M  # CGMS 03, section 4.4
AHI_GRID = Grid(
    crs=f"+proj=geos +lon_0=140.7 +h={AHI_HEIGHT_M} +a={AHI_MAJOR_M} +b={AHI_MINOR_M} +units=m",
    width=AHI_SIZE,
    height=AHI_SIZE,
    x_origin=-AHI_STEP_M * (AHI_SIZE - 1) / 2,
    y_origin=AHI_STEP_M * (AHI_SIZE - 1) / 2,
    x_step=AHI_STEP_M,
    y_step=-AHI_STEP_M,
)
AHI_MICROMETRES = {"B08": 6.2427, "B10": 7.3471, "B12": 9.6347, "B13": 10.4073}
AHI_GAIN = 2e-3  # W / (m² sr µm) a count
# Himawari Standard Data User's Guide (JMA), table 3: the header's blocks, little-endian, packed
AHI_BLOCKS = (
    [("number", "u1"), ("length", "<u2"), ("blocks", "<u2"), ("order", "u1"),
     ("satellite", "S16"), ("centre", "S16"), ("area", "S4"), ("other", "S2"),
     ("timeline", "<u2"), ("start", "<f8"), ("end", "<f8"), ("created", "<f8"),
     ("header_bytes", "<u4"), ("data_bytes", "<u4"), ("flags", "V4"), ("version", "S32"),
     ("file", "S128"), ("spare", "V40")],
    [("number", "u1"), ("length", "<u2"), ("bits", "<u2"), ("columns", "<u2"), ("lines", "<u2"),
     ("compression", "u1"), ("spare", "V40")],
    [("number", "u1"), ("length", "<u2"), ("longitude", "<f8"), ("cfac", "<u4"), ("lfac", "<u4"),
     ("coff", "<f4"), ("loff", "<f4"), ("distance_km", "<f8"), ("major_km", "<f8"),
     ("minor_km", "<f8"), ("ratios", "3<f8"), ("factor", "<f8"), ("resampling", "V4"),
     ("spare", "V40")],
    [("number", "u1"), ("length", "<u2"), ("time", "<f8"), ("ssp_lon", "<f8"), ("ssp_lat", "<f8"),
     ("ssp_km", "<f8"), ("nadir", "2<f8"), ("sun", "3<f8"), ("moon", "3<f8"), ("spare", "V40")],
    [("number", "u1"), ("length", "<u2"), ("band", "<u2"), ("micrometres", "<f8"),
     ("bits", "<u2"), ("error", "<u2"), ("outside", "<u2"), ("gain", "<f8"), ("offset", "<f8"),
     ("to_kelvin", "3<f8"), ("to_radiance", "3<f8"), ("light", "<f8"), ("planck", "<f8"),
     ("boltzmann", "<f8"), ("spare", "V40")],
    [("number", "u1"), ("length", "<u2"), ("gsics", "V256")],
    [("number", "u1"), ("length", "<u2"), ("total", "u1"), ("segment", "u1"), ("line", "<u2"),
     ("spare", "V40")],
    [("number", "u1"), ("length", "<u2"), ("rotation", "V16"), ("corrections", "<u2"),
     ("spare", "V40")],
    [("number", "u1"), ("length", "<u2"), ("times", "<u2"), ("spare", "V40")],
    [("number", "u1"), ("length", "<u4"), ("errors", "<u2"), ("spare", "V40")],
    [("number", "u1"), ("length", "<u2"), ("spare", "V256")],
)  # fmt: skip


def reader_configuration(reader: str) -> dict[str, Any]:
    """What satpy's file says, without importing the reader, whose packages may be absent."""
    from satpy.readers.core.config import configs_for_reader

    (paths,) = configs_for_reader(reader)
    return yaml.load(Path(next(iter(paths))).read_text(encoding="utf-8"), yaml.BaseLoader)


def spectral_radiance(kelvin: ArrayLike, micrometres: float) -> np.ndarray:
    """W / (m² sr µm)."""
    metres = micrometres * 1e-6
    exponent = PLANCK * LIGHT / (metres * BOLTZMANN * np.asarray(kelvin, float))
    return 2 * PLANCK * LIGHT**2 / metres**5 / np.expm1(exponent) * 1e-6


def write_ahi(
    folder: Path,
    time: str,
    kelvin: np.ndarray,
    *,
    bands: tuple[str, ...] = ("B13",),
    segments: tuple[int, ...] = tuple(range(1, AHI_SEGMENTS + 1)),
    satellite: str = "H08",
    area: str = "FLDK",
    scan: tuple[str, str] | None = None,
) -> list[Path]:
    """Segments of one slot; ``scan`` is when the whole of it began and ended."""
    start, end = map(pd.to_datetime, scan or (time, pd.to_datetime(time) + timedelta(minutes=10)))
    rows = AHI_SIZE // AHI_SEGMENTS
    paths = []
    for band in bands:
        for segment in segments:
            name = (
                f"HS_{satellite}_{pd.to_datetime(time):%Y%m%d_%H%M}_{band}_{area}_R20"
                f"_S{segment:02d}{AHI_SEGMENTS:02d}.DAT"
            )
            lasts = (end - start) / AHI_SEGMENTS
            seen = start + lasts * (segment - 1), start + lasts * segment
            part = kelvin[(segment - 1) * rows : segment * rows]
            paths.append(folder / name)
            paths[-1].write_bytes(
                _ahi_segment(part, band, segment, pd.to_datetime(time), area, seen)
            )
    return paths


def _ahi_segment(
    kelvin: np.ndarray,
    band: str,
    segment: int,
    time: pd.Timestamp,
    area: str,
    seen: tuple[pd.Timestamp, pd.Timestamp],
) -> bytes:
    counts = np.rint(spectral_radiance(kelvin, AHI_MICROMETRES[band]) / AHI_GAIN).astype("<u2")
    middle = AHI_SIZE / 2 + 0.5
    told = {
        "satellite": "Himawari-8", "area": area, "timeline": int(f"{time:%H%M}"),
        "start": _modified_julian(seen[0]), "end": _modified_julian(seen[1]),
        "blocks": len(AHI_BLOCKS), "data_bytes": counts.nbytes,
        "bits": 16, "columns": counts.shape[1], "lines": counts.shape[0],
        "longitude": 140.7, "cfac": AHI_COLUMN_FACTOR, "lfac": AHI_COLUMN_FACTOR,
        "coff": middle, "loff": middle, "distance_km": (AHI_HEIGHT_M + AHI_MAJOR_M) / 1e3,
        "major_km": AHI_MAJOR_M / 1e3, "minor_km": AHI_MINOR_M / 1e3,
        "ssp_lon": 140.7, "ssp_km": (AHI_HEIGHT_M + AHI_MAJOR_M) / 1e3,
        "band": int(band[1:]), "micrometres": AHI_MICROMETRES[band], "error": 65535,
        "outside": 65534, "gain": AHI_GAIN, "to_kelvin": (0, 1, 0),
        "light": LIGHT, "planck": PLANCK, "boltzmann": BOLTZMANN,
        "total": AHI_SEGMENTS, "segment": segment, "line": (segment - 1) * len(counts) + 1,
    }  # fmt: skip
    header = b"".join(_block(number, fields, told) for number, fields in enumerate(AHI_BLOCKS, 1))
    return header + counts.tobytes()


def _block(number: int, fields: list[tuple[str, str]], told: dict[str, object]) -> bytes:
    block = np.zeros((), np.dtype(fields))
    block["number"], block["length"] = number, block.nbytes
    for name in block.dtype.names or ():
        if name in told:
            block[name] = told[name]
    return block.tobytes()


def _modified_julian(time: pd.Timestamp) -> float:
    return (time - pd.Timestamp(1858, 11, 17)) / timedelta(days=1)


ABI_HEIGHT_M = 35_786_023.0
ABI_STEP_RADIANS = 56e-6
ABI_GRID = Grid(
    crs=(f"+proj=geos +lon_0=-75 +h={ABI_HEIGHT_M} +a=6378137 +b=6356752.31414 +units=m +sweep=x"),
    width=40,
    height=30,
    x_origin=-0.02 * ABI_HEIGHT_M,
    y_origin=0.05 * ABI_HEIGHT_M,
    x_step=ABI_STEP_RADIANS * ABI_HEIGHT_M,
    y_step=-ABI_STEP_RADIANS * ABI_HEIGHT_M,
)
ABI_PLANCK = {
    "planck_fk1": 10803.3,
    "planck_fk2": 1392.74,
    "planck_bc1": 0.0755,
    "planck_bc2": 0.9997,
}


def write_abi(
    folder: Path,
    start: str,
    end: str,
    kelvin: np.ndarray,
    *,
    band: int = 13,
    sector: str = "F",
    created: str = "20202512100000",
) -> Path:
    """One band of one image in radiances, as NOAA lays level 1b out (GOES-R PUG, volume 3)."""
    begun, ended = (f"{pd.to_datetime(time):%Y%j%H%M%S}0" for time in (start, end))
    name = f"OR_ABI-L1b-Rad{sector}-M6C{band:02d}_G16_s{begun}_e{ended}_c{created}.nc"
    fk1, fk2, bc1, bc2 = ABI_PLANCK.values()
    with netCDF4.Dataset(folder / name, "w") as file:
        file.setncatts({
            "time_coverage_start": f"{pd.Timestamp(start):%Y-%m-%dT%H:%M:%S.0Z}",
            "time_coverage_end": f"{pd.Timestamp(end):%Y-%m-%dT%H:%M:%S.0Z}",
            "spatial_resolution": "2km at nadir",
        })  # fmt: skip
        for axis, first, step in (("y", 0.05, -ABI_STEP_RADIANS), ("x", -0.02, ABI_STEP_RADIANS)):
            count = ABI_GRID.height if axis == "y" else ABI_GRID.width
            file.createDimension(axis, count)
            variable = file.createVariable(axis, "i2", (axis,))
            variable.setncatts({"scale_factor": step, "add_offset": first, "units": "rad"})
            variable.set_auto_scale(False)
            variable[:] = np.arange(count)
        radiance = fk1 / np.expm1(fk2 / (bc1 + bc2 * kelvin))
        variable = file.createVariable("Rad", "i2", ("y", "x"), fill_value=np.int16(-1))
        variable.setncatts({
            "scale_factor": np.float32(0.005), "add_offset": np.float32(-1.0),
            "units": "mW m-2 sr-1 (cm-1)-1", "grid_mapping": "goes_imager_projection",
        })  # fmt: skip
        variable[:] = radiance
        file.createVariable("goes_imager_projection", "i4").setncatts({
            "grid_mapping_name": "geostationary", "perspective_point_height": ABI_HEIGHT_M,
            "semi_major_axis": 6378137.0, "semi_minor_axis": 6356752.31414,
            "latitude_of_projection_origin": 0.0, "longitude_of_projection_origin": -75.0,
            "sweep_angle_axis": "x",
        })  # fmt: skip
        for scalar, value in (ABI_PLANCK | dict.fromkeys(ABI_SCALARS, 0.0)).items():
            file.createVariable(scalar, "f4")[:] = value
    return folder / name


ABI_SCALARS = (
    "nominal_satellite_subpoint_lat",
    "nominal_satellite_subpoint_lon",
    "nominal_satellite_height",
    "yaw_flip_flag",
)
FCI_WIDTH, FCI_CHUNKS = 5568, 40
FCI_STEP_RADIANS = 5.58879902955962e-05
FCI_HEIGHT_M = 35_786_400.0
FCI_WAVENUMBER = 951.0  # cm-1
FCI_C1, FCI_C2 = 1.19104273e-5, 1.43877523  # mW / (m² sr cm-4), K cm


def fci_rows(chunk: int) -> tuple[int, int]:
    """First and last row of a chunk, 1 the southernmost."""
    edges = np.linspace(0, FCI_WIDTH, FCI_CHUNKS + 1).round().astype(int)
    return int(edges[chunk - 1]) + 1, int(edges[chunk])


def write_fci(folder: Path, cycle_start: datetime, chunk: int, kelvin: float) -> Path:
    """One chunk of one temperature in ir_105 (EUMETSAT, FCI Level 1c Data Guide)."""
    number = (cycle_start.hour * 60 + cycle_start.minute) // 10 + 1
    begun = cycle_start + timedelta(seconds=14 * chunk)
    name = (
        "W_XX-EUMETSAT-Darmstadt,IMG+SAT,MTI1+FCI-1C-RRAD-FDHSI-FD--CHK-BODY---NC4E_C_EUMT"
        f"_{begun:%Y%m%d%H%M%S}_IDPFI_OPE_{begun:%Y%m%d%H%M%S}"
        f"_{begun + timedelta(seconds=14):%Y%m%d%H%M%S}_N__T_{number:04d}_{chunk:04d}.nc"
    )
    first, last = fci_rows(chunk)
    radiance = FCI_C1 * FCI_WAVENUMBER**3 / np.expm1(FCI_C2 * FCI_WAVENUMBER / kelvin)
    with netCDF4.Dataset(folder / name, "w") as file:
        file.platform = "MTI1"
        file.createDimension("index", 1)
        for path in FCI_STATE:
            file.createVariable(path, "f8", ("index",))[:] = 1.0
        file.createVariable("data/mtg_geos_projection", "i4").setncatts({
            "perspective_point_height": FCI_HEIGHT_M, "semi_major_axis": 6378137.0,
            "inverse_flattening": 298.257223563, "longitude_of_projection_origin": 0.0,
            "sweep_angle_axis": "y",
        })  # fmt: skip
        for channel in FCI_CHANNELS:
            group = file.createGroup(f"data/{channel}/measured")
            scale = 2 if channel.startswith(("vis", "nir")) else 1
            rows = ((first - 1) * scale + 1, last * scale)
            has_pixels = channel == "ir_105"
            _write_fci_channel(group, rows, radiance, FCI_WIDTH if has_pixels else 1)
    return folder / name


def _write_fci_channel(
    group: netCDF4.Group, rows: tuple[int, int], radiance: float, width: int
) -> None:
    numbers = {"y": np.arange(rows[0], rows[1] + 1), "x": np.arange(1, width + 1)}
    for axis, step in (("y", FCI_STEP_RADIANS), ("x", -FCI_STEP_RADIANS)):
        group.createDimension(axis, numbers[axis].size)
        variable = group.createVariable(axis, "i2", (axis,))
        variable.setncatts({"scale_factor": step, "add_offset": -(FCI_WIDTH + 1) / 2 * step})
        variable.set_auto_scale(False)
        variable[:] = numbers[axis]
    variable = group.createVariable(
        "effective_radiance", "u2", ("y", "x"), fill_value=np.uint16(65535), zlib=True
    )
    scale = radiance / FCI_COUNT
    variable.setncatts({
        "scale_factor": scale, "add_offset": 0.0, "warm_scale_factor": scale,
        "warm_add_offset": 0.0, "valid_range": np.array([0, 8191], "u2"), "units": "mW",
        "long_name": "effective radiance", "ancillary_variables": "pixel_quality",
    })  # fmt: skip
    variable.set_auto_maskandscale(False)
    variable[:] = np.uint16(FCI_COUNT)
    for name in ("pixel_quality", "index_map"):
        group.createVariable(name, "u2", ("y", "x"), zlib=True)[:] = 0
    for name, value in (FCI_SCALARS | dict(zip(FCI_ROWS, rows, strict=True))).items():
        group.createVariable(name, "f4" if name in FCI_SCALARS else "i4")[:] = value


FCI_COUNT = 1000
FCI_ROWS = ("start_position_row", "end_position_row")
FCI_CHANNELS = (
    "vis_04", "vis_05", "vis_06", "vis_08", "vis_09", "nir_13", "nir_16", "nir_22",
    "ir_38", "wv_63", "wv_73", "ir_87", "ir_97", "ir_105", "ir_123", "ir_133",
)  # fmt: skip
FCI_STATE = (
    "index", "time", "data/swath_direction", "data/swath_number",
    "state/celestial/earth_sun_distance", "state/celestial/subsolar_latitude",
    "state/celestial/subsolar_longitude", "state/celestial/sun_satellite_distance",
    "state/platform/platform_altitude", "state/platform/subsatellite_latitude",
    "state/platform/subsatellite_longitude",
)  # fmt: skip
FCI_SCALARS = {
    "channel_effective_solar_irradiance": 1.0,
    "radiance_unit_conversion_coefficient": 1.0,
    "radiance_to_bt_conversion_coefficient_wavenumber": FCI_WAVENUMBER,
    "radiance_to_bt_conversion_coefficient_a": 1.0,
    "radiance_to_bt_conversion_coefficient_b": 0.0,
    "radiance_to_bt_conversion_constant_c1": FCI_C1,
    "radiance_to_bt_conversion_constant_c2": FCI_C2,
}
