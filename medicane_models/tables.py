"""Tables of text: what every column means, and reading them as people and agencies write them."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from medicane_models.errors import ConfigurationError, SceneError, shown
from medicane_models.files import MOST_BYTES, read_bytes

__all__ = [
    "COLUMNS",
    "Column",
    "ColumnKind",
    "header_names",
    "numbers",
    "parse_table",
    "read_table",
    "read_text",
    "typed_column",
    "typed_table",
    "whole_numbers",
]

ColumnKind = Literal["text", "time", "number", "count", "flag"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """What a column of that name holds, in whichever table it stands.

    Attributes:
        kind: ``count`` is a whole number that is there in all rows or in none, ``flag`` True or
            False; a ``number`` or ``text`` may be empty, which says that it is unknown.
        meaning: in words.
        units: as UDUNITS writes them; "" for what has none.
    """

    kind: ColumnKind
    meaning: str
    units: str = ""

    def __post_init__(self) -> None:
        if self.units and self.kind not in ("number", "count"):
            raise ConfigurationError(f"a column of kind {self.kind} has no units {self.units!r}")


def _text(meaning: str) -> Column:
    return Column(kind="text", meaning=meaning)


def _time(meaning: str) -> Column:
    return Column(kind="time", meaning=meaning)


def _number(units: str, meaning: str) -> Column:
    return Column(kind="number", meaning=meaning, units=units)


def _count(meaning: str) -> Column:
    return Column(kind="count", meaning=meaning, units="1")


def _flag(meaning: str) -> Column:
    return Column(kind="flag", meaning=meaning)


COLUMNS: dict[str, Column] = {
    "track_id": _text("the cyclone's name within its table"),
    "time": _time("of the position, UTC: the end of the clip it was seen in"),
    "lon": _number("degrees_east", "longitude of the cyclone's centre, -180 to 180"),
    "lat": _number("degrees_north", "latitude of the cyclone's centre"),
    "probability": _number("1", "probability of a cyclone, 0 to 1"),
    "radius_50_km": _number("km", "circle with 50 % chance to hold the centre"),
    "radius_95_km": _number("km", "circle with 95 % chance to hold the centre"),
    "smooth_lon": _number("degrees_east", "longitude by all fixes of the track, -180 to 180"),
    "smooth_lat": _number("degrees_north", "latitude by all fixes of the track"),
    "smooth_radius_50_km": _number("km", "as radius_50_km, around the smoothed centre"),
    "smooth_radius_95_km": _number("km", "as radius_95_km, around the smoothed centre"),
    "speed_kt": _number("knot", "of the smoothed centre"),
    "heading": _number("degree", "where the smoothed centre goes, clockwise from true north"),
    "issued": _time("of the fix that a forecast starts from, UTC"),
    "lead_hours": _number("hour", "from that fix to the time that a forecast is for"),
    "valid_time": _time("that a forecast is for, UTC"),
    "edge": _flag("cyclone may reach beyond the domain"),
    "after_gap": _flag("the cyclone was not seen for longer than a step before this fix"),
    "onset": _time("when the track first has the probability that starts one, UTC"),
    "decay": _time("when the track last has the probability that starts one, UTC"),
    "split_from": _text("track that this one was part of a step before it begins"),
    "merged_into": _text("track that this one is part of a step after it ends"),
    "tile_x": _count("column of the tile's north-western pixel in the grid"),
    "tile_y": _count("row of the tile's north-western pixel in the grid"),
    "tile_lon": _number("degrees_east", "longitude of the centre of the tile, a local plane"),
    "tile_lat": _number("degrees_north", "latitude of the centre of the tile, a local plane"),
    "detected": _flag("probability reaches the threshold"),
    "center_x": _number("1", "column of the centre, in pixels from the tile's first"),
    "center_y": _number("1", "row of the centre, in pixels from the tile's first"),
    "observed": _time("when the centre's pixel was seen, UTC"),
    "parallax_east_km": _number("km", "eastward shift from the cloud top's apparent place"),
    "parallax_north_km": _number("km", "northward shift from the cloud top's apparent place"),
    "guess_lon": _number("degrees_east", "longitude of the first guess of the centre"),
    "guess_lat": _number("degrees_north", "latitude of the first guess of the centre"),
    "guess_distance_km": _number("km", "from the first guess to the centre"),
    "newest_frame": _time("of the clip's newest frame that was there, UTC"),
    "missing_frames": _count("frames of the clip that were not there"),
    "model": _text("folder, embedded name or Hub id of the detector"),
    "revision": _text("commit of the detector on the Hub"),
    "name": _text("what people call the storm"),
    "pressure_hpa": _number("hPa", "least pressure at sea level"),
    "wind_kt": _number("knot", "greatest sustained wind"),
    "kind": _text(
        "what the simulated storm is: medicane, cut_off_low, comma, cluster, fold; in infrared "
        "medicane, eye, covered, sheared, exposed, depression, landfall, subtropical, deep_low"
    ),
    "phase": _text("of the simulated storm's life"),
    "intensity": _number("1", "of the simulated storm, 0 to 1"),
    "radius_km": _number("km", "where the simulated storm's cloud has faded to 1/e"),
    "eye_km": _number("km", "radius of the simulated storm's eye at full intensity, 0 without"),
    "shear": _number("1", "displacement of the simulated storm's high clouds, in radii"),
    "shear_km": _number("km", "the same of a storm in simulated infrared, in km"),
    "end": _time("of the clip's last frame, UTC"),
    "part": _text("train, validation, test or unused"),
}
"""Every column of the tables that the packages write and read, by its name."""

UNKNOWN = {"", "nan", "na", "n/a", "none", "null", "-"}
FLAGS = {"true": True, "1": True, "false": False, "0": False}
SEPARATORS = ",;\t"
DECIMAL_COMMA = r"^([+-]?\d*),(\d+)$"
GZIP_MAGIC = b"\x1f\x8b"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV file; the columns of :data:`COLUMNS` are what they are, others stay text.

    Returns:
        Indexed by line. Names are text, so that 001 and NA stay what they are; times are text,
        for ``times.utc_times``; unknown numbers are NaN.

    Raises:
        SceneError: if the file cannot be read, or a field is not what its column holds.
    """
    return typed_table(read_text(path), source=str(path))


def typed_table(text: str, *, source: str) -> pd.DataFrame:
    """The same of a CSV text, from :func:`read_text`."""
    table = parse_table(text, source=source)
    for name in table.columns.intersection(list(COLUMNS)):
        table[name] = typed_column(pd.Series(table[name]), source=source)
    return table


def read_text(path: str | Path) -> str:
    """Text of a file, unpacked if it is gzip; comments, lines that begin with #, are blank."""
    try:
        content = read_bytes(Path(path))
        if content.startswith(GZIP_MAGIC):
            content = _unpacked(content)
        text = content.decode("utf-16" if content.startswith(UTF_16_MARKS) else "utf-8-sig")
    except UnicodeError:
        raise SceneError(
            f"cannot read {path} as a table: it is no text in UTF-8; save it as CSV in UTF-8"
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise SceneError(f"cannot read {path} as a table: {reason}") from None
    lines = io.StringIO(text, newline=None).read().split("\n")
    return "\n".join("" if line.lstrip().startswith("#") else line for line in lines)


def _unpacked(content: bytes) -> bytes:
    """The content of a gzip file, in memory that does not depend on what that unfolds to."""
    with gzip.open(io.BytesIO(content)) as file:
        text = file.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise OSError(f"it unpacks to more than {MOST_BYTES:,} bytes")
    return text


def header_names(text: str) -> set[str]:
    """What the columns of a CSV text are called."""
    header = text.lstrip().partition("\n")[0]
    return {name.strip(' "') for name in re.split(f"[{SEPARATORS}]", header)}


def parse_table(text: str, *, source: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Fields of a CSV text without the spaces around them, indexed by their line.

    Fields are separated by commas, or by semicolons or tabs if the header is; decimal commas
    become points in these. Blank lines and empty fields beyond the header are dropped.

    Args:
        text: from :func:`read_text`.
        source: the file, for errors.
        columns: those to keep, where there are any; None: all.
    """
    header = text.lstrip().partition("\n")[0]
    separator = max(SEPARATORS, key=header.count)
    rows = _rows(text, separator, source)
    _, names = next(rows, (0, []))
    if not names:
        raise SceneError(f"cannot read {source} as CSV: it holds no line")
    names = names[: max(i for i, name in enumerate(names) if name) + 1]
    twice = [name for name in names if name and names.count(name) > 1]
    if twice:
        raise SceneError(f"cannot read {source} as CSV: two columns are called {twice[0]}")
    kept = [i for i, name in enumerate(names) if columns is None or name in columns]
    lines, fields = [], []
    for line, row in rows:
        lines.append(line)
        row = _fitted(row, len(names), line, source)
        fields.append([row[i] for i in kept])
    table = pd.DataFrame(fields, index=lines, columns=[names[i] for i in kept], dtype="str")
    return table if separator == "," else table.replace(DECIMAL_COMMA, r"\1.\2", regex=True)


def _rows(text: str, separator: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """Line and fields of each line that is not blank."""
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    try:
        for row in reader:
            fields = [field.strip() for field in row]
            if any(fields):
                yield reader.line_num, fields
    except csv.Error as error:
        raise SceneError(
            f"cannot read {source} as CSV: line {reader.line_num + 1}: {error}"
        ) from None


def _fitted(row: list[str], width: int, line: int, source: str) -> list[str]:
    """The fields under the header; those beyond it must be empty."""
    if any(row[width:]):
        raise SceneError(
            f"cannot read {source} as CSV: line {line} has {len(row)} fields, the header {width}; "
            "put quotes around a field that holds a separator"
        )
    return row[:width] + [""] * (width - len(row))


def typed_column(column: pd.Series, *, source: str) -> pd.Series:
    """A column of text, called as in :data:`COLUMNS`, as what it holds; times stay text.

    Raises:
        SceneError: if a field is something else.
    """
    match COLUMNS[str(column.name)].kind:
        case "number":
            return pd.Series(numbers(column, source=source), index=column.index)
        case "count":
            nowhere = len(column) and column.str.lower().isin(UNKNOWN).all()
            read = numbers if nowhere else whole_numbers
            return pd.Series(read(column, source=source), index=column.index)
        case "flag":
            return _flags(column, source)
        case _:
            return column


def numbers(column: pd.Series, *, source: str) -> Float[np.ndarray, " n"]:
    """A column of text as numbers, NaN where it is unknown.

    Raises:
        SceneError: naming the line of the first field that is no number.
    """
    unknown = column.str.lower().isin(UNKNOWN)
    values = np.asarray(pd.to_numeric(column.mask(unknown), errors="coerce"), dtype=np.float64)
    _refuse(column, ~np.isfinite(values) & ~unknown.to_numpy(), "a number", source)
    return values


def whole_numbers(column: pd.Series, *, source: str) -> Int[np.ndarray, " n"]:
    """A column of text as whole numbers, none of them unknown; errors as :func:`numbers`."""
    values = numbers(column, source=source)
    _refuse(column, values % 1 != 0, "a whole number", source)
    return values.astype(np.int64)


def _flags(column: pd.Series, source: str) -> pd.Series:
    """True and False; with empty fields the nullable kind of them."""
    unknown = column.str.lower().isin(UNKNOWN)
    flags = column.str.lower().map(FLAGS).astype("boolean")
    _refuse(column, (flags.isna() & ~unknown).to_numpy(), "True or False", source)
    return flags if unknown.any() else flags.astype(bool)


def _refuse(column: pd.Series, wrong: np.ndarray, wanted: str, source: str) -> None:
    if wrong.any():
        line, value = column.index[wrong][0], column.to_numpy()[wrong][0]
        raise SceneError(
            f"{source}: line {line} has {column.name} {shown(value)}; give {column.name} as "
            f"{wanted}"
        )
