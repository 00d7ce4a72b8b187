"""Tables of tracks and detections in every form that is read."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mutations import OTHERS, REMOVED
from sample_tracks import two_tracks

from hostile.damage import Draw, Kind, files_of, spoil_text
from hostile.datasets import spoil_dataset
from medicane_models.prediction.track_files.formats import save_tracks
from medicane_models.verification.best_tracks import read_tracks
from medicane_models.verification.cases import EvaluationSettings
from medicane_models.verification.evaluation import evaluate

HURDAT2 = """\
AL092011,              IRENE,      2,
20110821, 0000,  , TS, 15.0N,  59.0W,  45, 1006,  105,    0,    0,   45,    0,    0,    0,    0
20110827, 1200, L, HU, 34.7N,  76.6W,  75, -999,  225,  225,  150,  125,  125,  125,   80,   60
AL272020,            UNNAMED,      1,
20201115, 0000,  , LO, 15.0S, 179.5E, -99, 1008, -999, -999, -999, -999, -999, -999, -999, -999
"""
IBTRACS = """\
SID,SEASON,BASIN,NAME,ISO_TIME,LAT,LON,WMO_WIND,WMO_PRES,TRACK_TYPE,USA_WIND,USA_PRES
 ,Year, , , ,degrees_north,degrees_east,kts,mb, ,kts,mb
2011233N15301,2011,NA,IRENE,2011-08-21 00:00:00,15.00,-59.00,45,1006,main,50,1005
2011233N15301,2011,NA,IRENE,2011-08-21 03:00:00,15.25,-59.70, , ,main,46,1004
2011900N15301,2011,NA,NOT_NAMED,2011-08-20 00:00:00,14.00,-58.00, , ,spur-other, , 1004
2020001S15180,2020,SP,NOT_NAMED,2020-01-01 00:00:00,-15.00,181.50, , ,PROVISIONAL, , 1004
"""
COMPOSITE = """\
00000001 0011.500 0024.730 1979 02 16 13 01000.98
00000001 0011.937 0024.964 1979 02 16 14 01000.04
00000206 -005.230 0032.786 2020 12 17 15 01017.96
"""
ATCF = """\
AL, 09, 2011082100,   , BEST,   0, 150N,  590W,  45, 1006, TS,  34, NEQ,  105,    0,    0,   45
AL, 09, 2011082712, 30, BEST,   0, 347N,  766W,  75,    0, HU,  34, NEQ,  225,    0,    0,   45
"""
TEMPEST = """\
track_id, year, month, day, hour, i, j, lon, lat, slp
0, 1980, 1, 6, 6, 482, 417, 359.500000, -14.250000, 9.987638e+04
0, 1980.0, 1.0, 6.0, 12.0, 476, 419, 0.250000, -14.750000, 9.981100e+04
"""
SEMICOLONS = """\
# seen by a person
storm;time;lat;lon;pressure_hpa;wind_kt;name
a;2020-09-17T01:00Z;37,5;18,5;990,5;45;"Ianos; the second"
a;2020-09-17T02:00Z;37,6;18,4;;;"Ianos; the second"
"""


def text_file(name: str, text: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        packed = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
        (folder / name).write_bytes(packed)
        return folder / name

    return make


def ours(form: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        return save_tracks(two_tracks(), folder, [form], {"model": "tiny"})[form]

    return make


def wrong(tracks: pd.DataFrame) -> str:
    """Whether a position is nowhere, or at no time."""
    if not (tracks["lon"].between(-180, 180).all() and tracks["lat"].between(-90, 90).all()):
        return f"positions {tracks[['lon', 'lat']].to_numpy().tolist()}"
    if tracks["time"].isna().any() or tracks.duplicated(["track_id", "time"]).any():
        return "times are missing or twice there"
    numbers = tracks.select_dtypes("number")
    if np.isinf(numbers.to_numpy(float)).any():
        return f"infinities {numbers.to_numpy().tolist()}"
    if not tracks["track_id"].astype(str).str.strip().all():
        return "a storm without a name"
    return ""


def results(folder: Path) -> Path:
    """What predict writes, held against itself."""
    from cold_spots import predictor, scene

    predictor().predict(scene(), every_minutes=15).write(folder)
    return folder


def evaluated(given: Path) -> dict[str, Any]:
    return evaluate(given, given / "tracks.csv", settings=EvaluationSettings(samples=2))


def wrong_scores(report: dict[str, Any]) -> str:
    text = json.dumps(report, default=str)
    return "infinity in the scores" if "Infinity" in text else ""


def spoil_json(given: Path, draw: Draw) -> str:
    """A value of a JSON document is another, or gone, or endlessly nested."""
    files = files_of(given, "*.json", "*.geojson")
    path = files[draw.integers(len(files))]
    document = json.loads(path.read_text())
    places = [([], document)]
    for keys, value in places:
        items = (
            value.items()
            if isinstance(value, dict)
            else enumerate(value)
            if isinstance(value, list)
            else ()
        )
        places += [([*keys, key], item) for key, item in items]
    keys = places[draw.integers(len(places))][0]
    if not keys or draw.random() < 0.05:
        deep = str(draw.choice(["[", '{"a":'])) * 100_000
        path.write_text(deep)
        return f"{path.name}: nested {deep[:3]}…"
    held = document
    for key in keys[:-1]:
        held = held[key]
    other = OTHERS[draw.integers(len(OTHERS))]
    if other is REMOVED:
        del held[keys[-1]]
    else:
        held[keys[-1]] = other
    path.write_text(json.dumps(document))
    return f"{path.name}: {keys} is {str(other)[:40]}"


def gzip_bomb(given: Path, draw: Draw) -> str:
    """Some megabytes that unfold to gigabytes, now and then: that takes a second."""
    if draw.random() > 0.1:
        return spoil_text(given, draw)
    if not Path("bomb.gz").exists():
        with gzip.open("bomb.gz", "wb", 1) as file:
            for _ in range(300):
                file.write(b"0" * 10_000_000)
    given.write_bytes(Path("bomb.gz").read_bytes())
    return "a gzip bomb"


def table(make: Callable[[Path], Path], *others: Any, share: float = 4) -> Kind:
    return Kind(make=make, read=read_tracks, wrong=wrong, is_text=True, others=others, share=share)


TABLES = {
    "HURDAT2": table(text_file("hurdat2.txt", HURDAT2)),
    "IBTrACS": table(text_file("ibtracs.csv", IBTRACS)),
    "composite tracks, gzip": Kind(
        make=text_file("TRACKS_CL10.dat.gz", COMPOSITE), read=read_tracks, wrong=wrong,
        is_text=True, others=(gzip_bomb,), share=1,
    ),
    "composite tracks": table(text_file("TRACKS_CL10.dat", COMPOSITE)),
    "ATCF": table(text_file("bal092011.dat", ATCF)),
    "TempestExtremes": table(text_file("nodes.csv", TEMPEST)),
    "CSV with semicolons": table(text_file("seen.csv", SEMICOLONS)),
    "our CSV": table(ours("csv")),
    "our ATCF": table(ours("atcf")),
    "our IBTrACS": table(ours("ibtracs"), share=2),
    "our GeoJSON": table(ours("geojson"), spoil_json),
    "our netCDF": Kind(make=ours("netcdf"), read=read_tracks, wrong=wrong, others=(spoil_dataset,)),
    "results to evaluate": Kind(
        make=results, read=evaluated, wrong=wrong_scores, is_text=True, others=(spoil_json,),
        share=0.5,
    ),
}  # fmt: skip
