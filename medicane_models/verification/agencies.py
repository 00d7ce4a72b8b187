"""Track files of agencies, in the columns of :mod:`best_tracks` and indexed by their lines."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from medicane_models.errors import SceneError, shown
from medicane_models.prediction.track_files.atcf import POSITIONS
from medicane_models.prediction.track_files.ibtracs import NO_PRESSURE, NO_WIND
from medicane_models.prediction.tracks import OPTIONAL_COLUMNS, TRACK_COLUMNS, require_columns
from medicane_models.tables import parse_table

__all__ = ["AGENCIES", "DATE_COLUMNS", "OURS", "iso_dates"]

COMPOSITE_COLUMNS = ("track_id", "lon", "lat", "year", "month", "day", "hour", "pressure_hpa")
IBTRACS_COLUMNS = ("SID", "NAME", "ISO_TIME", "LAT", "LON")
IBTRACS_MORE = ("TRACK_TYPE", "WMO_PRES", "USA_PRES", "WMO_WIND", "USA_WIND")
IBTRACS_HEADER = re.compile(r"(?=.*\bSID\b)(?=.*\bISO_TIME\b)")
HURDAT2_HEADER = re.compile(r"([A-Z]{2}\d{6})\s*,\s*([^,]+?)\s*,")
ATCF_ROW = re.compile(r"\s*[A-Z]{2}\s*,\s*[A-Z\d]\d+\s*,\s*\d{10}\s*,")
ATCF_FILE = re.compile(r"[abe]([a-z]{2}\d{6})\b", re.IGNORECASE)
ATCF_NAME = 27  # the field of the storm's name
ATCF_COMMON = 35  # fields before the pairs of a name and a value
OBSERVED = ("BEST", "CARQ")  # what ATCF calls analysed positions; all else is a forecast's
TO_THE_MINUTE = ("BEST", POSITIONS)
HEMISPHERES = {"lat": {"N": "", "S": "-"}, "lon": {"E": "", "W": "-"}}
DATE_COLUMNS = ("year", "month", "day", "hour")
OURS = (*TRACK_COLUMNS, *OPTIONAL_COLUMNS)
"""Columns that our own files in an agency's form have besides."""

Read = Callable[[str, str], pd.DataFrame]


def iso_dates(table: pd.DataFrame) -> pd.Series:
    """ISO 8601 from year, month, day and hour, each a whole number."""
    year, month, day, hour = (
        table[name].str.removesuffix(".0").str.zfill(2) for name in DATE_COLUMNS
    )
    return year + "-" + month + "-" + day + "T" + hour


def _composite(text: str, source: str) -> pd.DataFrame:
    rows = {
        line: _checked(content.split(), 8, line, source, "composite track")
        for line, content in _lines(text)
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(COMPOSITE_COLUMNS))
    name = Path(source).name.partition(".")[0].removeprefix("TRACKS_")
    track_id = name + "-" + table["track_id"].str.lstrip("0")
    return table.assign(track_id=track_id, time=iso_dates(table))


def _ibtracs(text: str, source: str) -> pd.DataFrame:
    columns = [*IBTRACS_COLUMNS, *IBTRACS_MORE, *OURS]
    table = parse_table(text, source=source, columns=columns)
    require_columns(table, IBTRACS_COLUMNS, source=source)
    table = table.loc[~table["LAT"].str.startswith("degrees")]  # the line of units, where kept
    return _without_second_opinions(
        pd.DataFrame(
            {
                "track_id": table["SID"],
                "time": table["ISO_TIME"],
                "lon": table["LON"],
                "lat": table["LAT"],
                "name": table["NAME"].replace({"UNNAMED": "", "NOT_NAMED": ""}),
                "pressure_hpa": _first_known(table, "WMO_PRES", "USA_PRES").replace(
                    NO_PRESSURE, ""
                ),
                "wind_kt": _first_known(table, "WMO_WIND", "USA_WIND").replace(NO_WIND, ""),
                "track_type": table.get("TRACK_TYPE", ""),
            }
            | {name: table[name] for name in OURS if name in table.columns}
        )
    )


def _without_second_opinions(table: pd.DataFrame) -> pd.DataFrame:
    """No spurs, and at a time with a main position no provisional one of the same storm."""
    kind = table["track_type"].str.lower()
    main = kind.isin(["", "main"])
    known = main.groupby([table["track_id"], table["time"]]).transform("any")
    return table.loc[~kind.str.contains("spur") & (main | ~known)]


def _first_known(table: pd.DataFrame, first: str, second: str) -> pd.Series:
    """The fields of one column, and where they are blank those of another."""
    known = table.reindex(columns=[first, second], fill_value="")
    return pd.Series(np.where(known[first] == "", known[second], known[first]), known.index)


def _hurdat2(text: str, source: str) -> pd.DataFrame:
    rows, track_id, name = {}, "", ""
    for line, content in _lines(text):
        if header := HURDAT2_HEADER.match(content):
            track_id, name = header[1], header[2].replace("UNNAMED", "")
            continue
        day, hour, _, _, lat, lon, wind, pressure = _fields(content, 8, line, source, "HURDAT2")[:8]
        rows[line] = {
            "track_id": track_id,
            "name": name,
            "time": f"{day[:4]}-{day[4:6]}-{day[6:]}T{hour[:2]}:{hour[2:]}",
            "lat": _signed(lat, "lat", line, source),
            "lon": _signed(lon, "lon", line, source),
            "wind_kt": re.sub("-.*", "", wind),  # unknown is -99, pressure -999
            "pressure_hpa": re.sub("-.*", "", pressure),
        }
    if not rows:
        raise SceneError(f"{source} holds no position of a storm; copy it again")
    return pd.DataFrame.from_dict(rows, orient="index")


def _atcf(text: str, source: str) -> pd.DataFrame:
    named = ATCF_FILE.match(Path(source).name)
    rows = {
        line: _atcf_row(fields, line, source)
        for line, content in _lines(text)
        if _placed(fields := _fields(content, 10, line, source, "ATCF"))
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    if table.empty:
        raise SceneError(f"{source} holds no position of a storm, forecasts aside")
    table = table.loc[table["technique"] == _observed(set(table["technique"]), source)]
    first_year = table["time"].str[:4].groupby(table["storm"]).transform("min")
    track_id = pd.Series(named[1].upper(), table.index) if named else table["storm"] + first_year
    told = table["track_id"] if "track_id" in table.columns else track_id
    table["track_id"] = told.fillna(track_id)
    last_name = (
        table["name"].where(table["name"] != "").groupby(table["track_id"]).transform("last")
    )
    return table.assign(name=last_name.fillna(""))


def _atcf_row(fields: list[str], line: int, source: str) -> dict[str, str]:
    """One position; a row a wind radius repeats it, and what is unknown is 0."""
    basin, number, stamp, minutes, technique, _, lat, lon, wind, pressure = fields[:10]
    minute = minutes if technique in TO_THE_MINUTE and minutes else "00"  # others count there
    pairs = dict(zip(fields[ATCF_COMMON::2], fields[ATCF_COMMON + 1 :: 2], strict=False))
    ours = {name: value for name, value in pairs.items() if name in OURS}
    return ours | {
        "storm": basin + number,
        "time": f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}T{stamp[8:]}:{minute}",
        "technique": technique,
        "lat": _signed(_tenths(lat), "lat", line, source),
        "lon": _signed(_tenths(lon), "lon", line, source),
        "wind_kt": wind.replace("-", "").lstrip("0"),
        "pressure_hpa": pressure.replace("-", "").lstrip("0"),
        "name": fields[ATCF_NAME] if len(fields) > ATCF_NAME else "",
    }


def _placed(fields: list[str]) -> bool:
    """Whether a row is no forecast and has a position, which 0N 0W stands for the lack of."""
    hours_ahead, lat, lon = fields[5:8]
    unknown = not lat.rstrip("NS").strip("0") and not lon.rstrip("EW").strip("0")
    return not hours_ahead.strip("0") and not unknown


def _tenths(degrees: str) -> str:
    """150N as 15.0N."""
    return re.sub(r"^(\d*)(\d)([A-Z])$", r"0\1.\2\3", degrees)


def _observed(techniques: set[str], source: str) -> str:
    """The technique whose positions are where the storm was."""
    found = next((name for name in OBSERVED if name in techniques), None)
    if found is None and len(techniques) != 1:
        raise SceneError(
            f"{source} holds positions of {', '.join(sorted(techniques))} and none of "
            f"{' or '.join(OBSERVED)}; keep the rows of one technique"
        )
    return found or techniques.pop()


def _tempest_extremes(text: str, source: str) -> pd.DataFrame:
    raise SceneError(
        f"{source} is StitchNodes text without names of its columns; write it with "
        "--out_file_format csv"
    )


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Number and content of each line that is not blank."""
    return ((n, line) for n, line in enumerate(text.split("\n"), start=1) if line.strip())


def _fields(content: str, least: int, line: int, source: str, form: str) -> list[str]:
    fields = [field.strip() for field in content.split(",")]
    return _checked(fields, max(least, len(fields)), line, source, form)


def _checked(fields: list[str], width: int, line: int, source: str, form: str) -> list[str]:
    if len(fields) != width:
        raise SceneError(f"{source}: line {line} is no {form} row: {shown(', '.join(fields))}")
    return fields


def _signed(degrees: str, axis: str, line: int, source: str) -> str:
    """15.0N as 15.0, 59.0W as -59.0."""
    signs = HEMISPHERES[axis]
    if degrees[-1:] not in signs:
        raise SceneError(
            f"{source}: a row has no valid {axis} (line {line}; first {shown(degrees)}); "
            f"write degrees with {' or '.join(signs)}"
        )
    return signs[degrees[-1]] + degrees[:-1]


AGENCIES: tuple[tuple[re.Pattern[str], Read], ...] = (
    (IBTRACS_HEADER, _ibtracs),
    (HURDAT2_HEADER, _hurdat2),
    (ATCF_ROW, _atcf),
    (re.compile(r"\s*\d+(\s+-?[\d.]+){7}\s*$"), _composite),
    (re.compile(r"start\s+\d+\s+\d{4}\s"), _tempest_extremes),
)
"""How a file begins, and what reads its text and is told its name for errors."""
