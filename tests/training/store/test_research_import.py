from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from clip_stores import GRID, SETTINGS
from PIL import Image

from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.store.build import build_store
from medicane_training.store.research_import import export_research, import_research

PROCESSOR = MedicaneProcessor.airmass(
    num_frames=4, tile_size=32, cadence_minutes=15.0, max_missing=1, grid=GRID
)
FRAME_TIMES = pd.date_range("2011-11-05 23:15", periods=8, freq="15min")


def frame(time: pd.Timestamp) -> np.ndarray:
    """A frame (y, x, rgb) of random colours, drawn anew for each time."""
    random = np.random.default_rng(int(time.value // 10**9))
    return random.integers(0, 256, (GRID.height, GRID.width, 3), np.uint8)


def write_clip(folder: Path, end: str, x: int, y: int) -> Path:
    moment = pd.Timestamp(end)
    clip = folder / f"{moment:%d-%m-%Y_%H%M}_{x}_{y}"
    clip.mkdir(parents=True)
    for number, time in enumerate(pd.date_range(end=moment, periods=4, freq="15min"), start=1):
        Image.fromarray(frame(time)[y : y + 32, x : x + 32]).save(clip / f"img_{number:05d}.png")
    return clip


@pytest.fixture
def layout(tmp_path):
    """Three clips of two hours; two tiles overlap in space and both hours in one frame each."""
    folder = tmp_path / "airmass"
    paths = [
        write_clip(folder, "2011-11-06 00:00", 0, 0),
        write_clip(folder, "2011-11-06 00:00", 22, 0),
        write_clip(folder, "2011-11-06 01:00", 22, 0),
    ]
    table = pd.DataFrame({"path": paths, "start": 1, "end": 4})
    table.assign(label=[0, 1, 1]).to_csv(tmp_path / "train.csv", index=False)
    tracked = table.assign(x_pix=[np.nan, 10.0, 11.0], y_pix=[np.nan, 7.0, 8.0])
    tracked.to_csv(tmp_path / "tracking.csv", index=False)
    table.to_csv(tmp_path / "unlabelled.csv", index=False)
    return tmp_path


def test_imported_clips_show_the_images_and_keep_their_labels(layout):
    store = import_research(layout / "train.csv", layout / "s.zarr", processor=PROCESSOR)
    assert store.clips["label"].tolist() == [0, 1, 1]
    assert store.clips["storm"].tolist() == ["", "2011110600", "2011110600"]
    assert len(store.frames) == 8
    decoded = np.asarray(Image.open(layout / "airmass/06-11-2011_0100_22_0/img_00002.png"))
    expected = np.moveaxis(decoded / 255, -1, 0)
    np.testing.assert_allclose(store.read(2)[1] / 254, expected, atol=0.5 / 254)


def test_imported_centres_move_up_by_the_legacy_row(layout):
    store = import_research(layout / "tracking.csv", layout / "s.zarr", processor=PROCESSOR)
    assert store.clips["label"].tolist() == [-1, 1, 1]
    assert store.clips["target_x"].tolist()[1:] == [10.0, 11.0]
    assert store.clips["target_y"].tolist()[1:] == [6.0, 7.0]


def test_clips_may_have_been_moved_since_they_were_listed(layout):
    (layout / "airmass").rename(layout / "elsewhere")
    store = import_research(
        layout / "unlabelled.csv",
        layout / "s.zarr",
        processor=PROCESSOR,
        folder=layout / "elsewhere",
    )
    assert store.clips["label"].tolist() == [-1, -1, -1]


def test_exported_clips_are_imported_as_they_were(layout):
    first = import_research(layout / "tracking.csv", layout / "s.zarr", processor=PROCESSOR)
    table = export_research(first, layout / "out", task="tracking")
    again = import_research(table, layout / "again.zarr", processor=PROCESSOR)
    np.testing.assert_array_equal(again.read(1), first.read(2))
    columns = ["end", "tile_x", "tile_y", "target_x", "target_y", "storm"]
    pd.testing.assert_frame_equal(
        again.clips[columns], first.clips[columns].iloc[1:].reset_index(drop=True)
    )


def test_export_writes_numbered_images_and_the_csv_of_the_task(layout):
    store = import_research(layout / "train.csv", layout / "s.zarr", processor=PROCESSOR)
    listed = pd.read_csv(export_research(store, layout / "out", task="classification", clips=[1]))
    assert listed.columns.tolist() == ["path", "start", "end", "label"]
    folder = Path(listed["path"][0])
    assert folder.name == "06-11-2011_0000_22_0"
    assert sorted(p.name for p in folder.iterdir()) == [f"img_0000{n}.png" for n in (1, 2, 3, 4)]
    original = np.asarray(Image.open(layout / "airmass" / folder.name / "img_00004.png"))
    written = np.asarray(Image.open(folder / "img_00004.png"))
    assert abs(written.astype(int) - original).max() <= 1


def test_a_broken_image_is_named(layout):
    (layout / "airmass/06-11-2011_0000_0_0/img_00003.png").write_bytes(b"no image")
    with pytest.raises(SceneError, match=r"06-11-2011_0000_0_0/img_00003\.png cannot be read"):
        import_research(layout / "train.csv", layout / "s.zarr", processor=PROCESSOR)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("airmass/06-11-2011_0000_0_0,1,4,", "line 2 has label ''; give label as a whole number"),
        ("airmass/06-11-2011_0000_0_0,1,four,1", "line 2 has end 'four'"),
        ("airmass/06-11-2011_0000_0_0,1,4.5,1", "line 2 has end '4.5'"),
    ],
)
def test_what_is_no_number_is_named_by_its_line(row, message, layout):
    (layout / "odd.csv").write_text(f"path,start,end,label\n{row}\n")
    with pytest.raises(SceneError, match=message):
        import_research(layout / "odd.csv", layout / "s.zarr", processor=PROCESSOR)


def test_a_folder_without_time_is_named(layout):
    (layout / "odd.csv").write_text("path,start,end\nairmass/storm,1,4\n")
    with pytest.raises(SceneError, match=r"odd\.csv: airmass/storm is not named"):
        import_research(layout / "odd.csv", layout / "s.zarr", processor=PROCESSOR)


def test_scenes_are_not_added_to_an_imported_store(layout):
    import_research(layout / "train.csv", layout / "s.zarr", processor=PROCESSOR)
    with pytest.raises(ConfigurationError, match="not built from scenes"):
        build_store([], layout / "s.zarr", processor=PROCESSOR, settings=SETTINGS)
