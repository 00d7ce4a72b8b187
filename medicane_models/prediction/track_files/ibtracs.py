"""Tracks as a CSV in the form of IBTrACS v4, which tropycal and others load from a file.

``ibtracs.csv`` beside this module holds the two lines that head every such file since v04r01: the
names of its columns and their units. The columns of the table that IBTrACS lacks come behind them.
"""

from pathlib import Path

import pandas as pd

from medicane_models.domain.basins import ibtracs_basins
from medicane_models.files import replacing
from medicane_models.prediction.track_files.storm_ids import number_storms
from medicane_models.prediction.tracks import as_tracks, rounded
from medicane_models.tables import COLUMNS
from medicane_models.times import TIME_FORMAT

__all__ = ["NO_PRESSURE", "NO_WIND", "write_ibtracs"]

NO_WIND, NO_PRESSURE = "0", "9999"
"""Unknown, outside what IBTrACS allows: tropycal fails on a file that has blanks there alone."""

NO_DISTANCE = "-9999"  # IBTrACS' fill value; tropycal wants a whole number
MOTION = {"STORM_SPEED": "speed_kt", "STORM_DIR": "heading"}  # in whole knots and degrees
BLANK = " "  # how these files say that a field is empty
HELD = ("track_id", "time", "lon", "lat")  # columns that IBTrACS has under other names


def write_ibtracs(tracks: pd.DataFrame, path: str | Path) -> None:
    """Write a row a time and track, to the minute, of provisional tracks without a name.

    ``SID`` is the track's id, ``USA_ATCF_ID`` that of the deck. Wind and pressure are
    :data:`NO_WIND` and :data:`NO_PRESSURE`.
    """
    tracks = rounded(as_tracks(tracks))
    own = [name for name in tracks.columns if name not in HELD]
    units = _units() | {name: COLUMNS[name].units or BLANK for name in own}
    more = tracks[own].copy()
    for name in more.select_dtypes(["datetime", "datetimetz"]):
        more[name] = pd.DatetimeIndex(more[name]).strftime(TIME_FORMAT)
    rows = _standard(tracks).join(more).reindex(columns=list(units))
    text = pd.concat([pd.DataFrame([units]), rows.astype(object).fillna(BLANK)])
    with replacing(Path(path)) as temporary:
        text.to_csv(temporary, index=False)


def _units() -> dict[str, str]:
    """Of each column of IBTrACS."""
    names, units = Path(__file__).with_suffix(".csv").read_text().splitlines()
    return dict(zip(names.split(","), units.split(","), strict=True))


def _standard(tracks: pd.DataFrame) -> pd.DataFrame:
    """The columns of IBTrACS that are known, or may not be blank."""
    storms = number_storms(tracks)
    ids = [storms[name] for name in tracks["track_id"]]
    seasons = pd.Series([storm.season for storm in storms.values()], list(storms), dtype=int)
    numbers = seasons.groupby(seasons).cumcount() + 1
    place = {"LAT": tracks["lat"], "LON": tracks["lon"]}
    return pd.DataFrame(
        {
            "SID": tracks["track_id"],
            "SEASON": seasons.loc[tracks["track_id"]].to_numpy(),
            "NUMBER": numbers.loc[tracks["track_id"]].to_numpy(),
            "BASIN": ibtracs_basins(tracks["lon"], tracks["lat"]),
            "SUBBASIN": "MM",
            "NAME": "UNNAMED",
            "ISO_TIME": tracks["time"].dt.strftime("%Y-%m-%d %H:%M:00"),
            "NATURE": "NR",
            "TRACK_TYPE": "PROVISIONAL",
            "DIST2LAND": NO_DISTANCE,
            "USA_ATCF_ID": list(map(str, ids)),
            "USA_WIND": NO_WIND,
            "USA_PRES": NO_PRESSURE,
            "USA_SSHS": "-5",
        }
        | place
        | {f"USA_{name}": degrees for name, degrees in place.items()}
        | {
            name: _whole(pd.Series(tracks[own]))
            for name, own in MOTION.items()
            if own in tracks.columns
        }
    )


def _whole(column: pd.Series) -> pd.Series:
    """Rounded, and full turns taken from degrees."""
    whole = column.round()
    return (whole % 360 if column.name == "heading" else whole).astype("Int64")
