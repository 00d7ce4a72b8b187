"""Tiny files of SEVIRI in EUMETSAT's two forms: HRIT segments and the native format.

Headers are filled by satpy's tables of their fields (EUM/MSG/ICD/105); pixels are 10-bit counts.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from satpy.readers.core.hrit import (
    common_hdr,
    image_navigation,
    image_structure,
    primary_header,
)
from satpy.readers.seviri_l1b_hrit import (
    hrit_epilogue,
    hrit_prologue,
    image_segment_line_quality,
    segment_identification,
)
from satpy.readers.seviri_l1b_native import ASCII_STARTSWITH
from satpy.readers.seviri_l1b_native_hdr import GSDTRecords, get_native_header, native_trailer

SIZE, SEGMENTS, SATELLITE = 64, 8, 324  # pixels of the full disk; Meteosat-11
IR_108 = 9
CFAC = round(-13_642_337 * SIZE / 3712)
SLOPE, OFFSET = 0.20503568, -10.45681949  # mW / (m² sr cm⁻¹) a count


def counts_of(rows: int, columns: int) -> np.ndarray:
    """About 215 … 300 K."""
    return np.random.default_rng(0).integers(200, 600, (rows, columns))


def write_hrit(folder: Path, time: str, segments: tuple[int, ...] = (7, 8)) -> list[Path]:
    """Prologue, epilogue and segments, the first of which is the southernmost, of IR_108."""
    slot = f"{pd.Timestamp(time):%Y%m%d%H%M}"
    prologue, epilogue = np.zeros((), hrit_prologue), np.zeros((), hrit_epilogue)
    _describe(prologue, time)
    _sum_up(epilogue, time)
    files = {
        f"_________-PRO______-{slot}-__": _records(128) + prologue.tobytes(),
        f"_________-EPI______-{slot}-__": _records(129) + epilogue.tobytes(),
        **{f"IR_108___-{n:06d}___-{slot}-__": _segment(n, time) for n in segments},
    }
    paths = [folder / f"H-000-MSG4__-MSG4________-{name}" for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        path.write_bytes(content)
    return paths


def write_native(folder: Path, time: str, *, rows: int = 16, columns: int = 24) -> Path:
    """WV_062 and IR_108 of the full disk's middle, with the header of the archive."""
    header = np.zeros((), get_native_header(True))
    _describe(header["15_DATA_HEADER"], time)
    first_row, first_column = 1856 - rows // 2, 1856 - columns // 2
    told = {
        "SelectedBandIDs": "----X---X---",
        "SouthLineSelectedRectangle": first_row, "NorthLineSelectedRectangle": first_row + rows - 1,
        "EastColumnSelectedRectangle": first_column,
        "WestColumnSelectedRectangle": first_column + columns - 1,
        "NumberLinesVISIR": rows, "NumberColumnsVISIR": columns,
        "NumberLinesHRV": 0, "NumberColumnsHRV": 0,
    }  # fmt: skip
    for name, value in told.items():
        header["15_SECONDARY_PRODUCT_HEADER"][name]["Value"] = str(value).encode()
    header["15_MAIN_PRODUCT_HEADER"]["FormatName"] = ASCII_STARTSWITH[:30], ASCII_STARTSWITH[30:]
    header["15_MAIN_PRODUCT_HEADER"]["QQOV"]["Value"] = b"OK"
    lines = np.zeros((rows, 2), _native_line(columns))  # satpy cannot read one channel alone
    lines["data"] = _packed(counts_of(rows, columns))[:, None]
    trailer = np.zeros((), native_trailer)
    _sum_up(trailer["15TRAILER"], time)
    end = pd.Timestamp(time) + pd.Timedelta("12min43s")
    path = folder / f"MSG4-SEVI-MSG15-0100-NA-{end:%Y%m%d%H%M%S}.254000000Z-NA.nat"
    path.write_bytes(header.tobytes() + lines.tobytes() + trailer.tobytes())
    return path


def _describe(header: np.ndarray, time: str) -> None:
    """Satellite, geometry, calibration and planned times."""
    satellite = header["SatelliteStatus"]["SatelliteDefinition"]
    satellite["SatelliteId"] = SATELLITE
    header["GeometricProcessing"]["EarthModel"] = (2, 6378.169, 6356.5838, 6356.5838)
    grid = (3712, 3712, 3.0004032, 3.0004032, 2)
    header["ImageDescription"]["ReferenceGridVIS_IR"] = grid
    header["ImageDescription"]["ProjectionDescription"]["TypeOfProjection"] = 1
    header["ImageDescription"]["Level15ImageProduction"]["ImageProcDirection"] = 1
    header["ImageDescription"]["Level15ImageProduction"]["PlannedChanProcessing"] = 2
    calibration = header["RadiometricProcessing"]["Level15ImageCalibration"]
    calibration["CalSlope"], calibration["CalOffset"] = SLOPE, OFFSET
    planned = header["ImageAcquisition"]["PlannedAcquisitionTime"]
    for name, minutes in (("TrueRepeatCycleStart", 0), ("PlannedRepeatCycleEnd", 15)):
        planned[name] = (*_day_and_milliseconds(time, minutes), 0, 0)


def _sum_up(trailer: np.ndarray, time: str) -> None:
    summary = trailer["ImageProductionStats"]["ActualScanningSummary"]
    summary["NominalImageScanning"] = 1
    summary["ForwardScanStart"] = _day_and_milliseconds(time, 0)
    summary["ForwardScanEnd"] = _day_and_milliseconds(time, 12.5)


def _segment(number: int, time: str) -> bytes:
    rows = SIZE // SEGMENTS
    quality = np.zeros(rows, image_segment_line_quality)
    quality["line_number_in_grid"] = (number - 1) * rows + np.arange(1, rows + 1)
    quality["line_mean_acquisition"] = _day_and_milliseconds(time, 1.5 * number)
    quality["line_validity"] = quality["line_radiometric_quality"] = 1
    shift = SIZE // 2 - (number - 1) * rows
    pixels = _packed(counts_of(rows, SIZE))
    return (
        _records(
            0,
            (1, np.array((10, SIZE, rows, 0), image_structure)),
            (2, np.array((b"GEOS(+000.0)", CFAC, CFAC, SIZE // 2, shift), image_navigation)),
            (128, np.array((SATELLITE, IR_108, number, 1, SEGMENTS, 0), segment_identification)),
            (129, quality),
        )
        + pixels.tobytes()
    )


def _records(kind: int, *records: tuple[int, np.ndarray]) -> bytes:
    """The primary header of a file of a kind, and what follows it."""
    rest = b"".join(_record(number, content) for number, content in records)
    length = common_hdr.itemsize + primary_header.itemsize
    return _record(0, np.array((kind, length + len(rest), 0), primary_header)) + rest


def _record(number: int, content: np.ndarray) -> bytes:
    length = common_hdr.itemsize + content.nbytes
    return np.array((number, length), common_hdr).tobytes() + content.tobytes()


def _native_line(columns: int) -> np.dtype:
    """Packet headers, what is told of the line, and its pixels."""
    packet = [("first", GSDTRecords.gp_pk_header), ("second", GSDTRecords.gp_pk_sh1)]
    return np.dtype([("packet", packet), ("told", "V27"), ("data", "u1", columns * 10 // 8)])


def _packed(counts: np.ndarray) -> np.ndarray:
    """Numbers of 10 bits, the high ones first."""
    bits = np.unpackbits(counts.astype(">u2")[..., None].view("u1"), axis=-1)[..., 6:]
    return np.packbits(bits.reshape(*counts.shape[:-1], -1), axis=-1)


def _day_and_milliseconds(time: str, minutes: float) -> tuple[int, int]:
    since = pd.Timestamp(time) + pd.Timedelta(minutes=minutes) - pd.Timestamp(1958, 1, 1)
    return since.days, int((since - pd.Timedelta(days=since.days)) / pd.Timedelta("1ms"))
