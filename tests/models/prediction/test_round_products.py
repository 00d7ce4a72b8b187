import pytest
from cold_spots import scene
from followed_folders import FRAMES, arrive, once, tables

from medicane_models.prediction.round_products import RoundProducts


def test_hours_that_were_judged_and_not_published_are_published(
    source, there, tmp_path, at_once, monkeypatch, judged
):
    arrive(there, *source)
    with monkeypatch.context() as patch:
        patch.setattr(RoundProducts, "publish", lambda *_, complete: None)
        once(there, tmp_path / "out")
    judged.clear()
    once(there, tmp_path / "out")
    assert not judged
    assert tables(tmp_path / "out") == at_once


def test_maps_are_drawn_of_new_hours_and_stay(source, there, tmp_path, monkeypatch):
    plain = {"products": {"plot": True}}
    arrive(there, *source[:7])
    once(there, tmp_path / "out", **plain)
    maps = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "maps").iterdir()}
    arrive(there, *source[7:10])
    once(there, tmp_path / "out", **plain)
    later = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "maps").iterdir()}
    assert set(later) == {*maps, "20200917_0045.png"}
    assert {name: later[name] for name in maps} == maps
    assert not list((tmp_path / "out" / "follow" / "hours").glob("*.png"))


def test_an_hour_that_cannot_be_opened_again_loses_its_map(source, there, tmp_path):
    plain, maps = {"products": {"plot": True}}, tmp_path / "out" / "maps"
    arrive(there, *source[:10])
    once(there, tmp_path / "out", **plain)
    assert (maps / "20200917_0045.png").exists()
    other = scene(frames=FRAMES, sensor="fci", sub_satellite_longitude=0.0)
    other["IR_108"] += 1
    (there / source[9].name).unlink()
    other.isel(time=[9]).to_netcdf(there / "other.nc")
    assert "2020-09-17T00:45:00" in once(there, tmp_path / "out", **plain).skipped
    assert {path.name for path in maps.iterdir()} == {"20200917_0015.png", "20200917_0030.png"}


def test_a_page_shows_the_hours_of_all_rounds(source, there, tmp_path):
    page = {"products": {"plot": False, "report": True}}
    arrive(there, *source[:13])
    once(there, tmp_path / "at_once", **page)
    for path in source[:13]:
        (there / path.name).unlink()
    for paths in (source[:5], source[5:9], source[9:13]):
        arrive(there, *paths)
        once(there, tmp_path / "out", **page)
    pages = [(tmp_path / out / "report.html").read_text("utf-8") for out in ("at_once", "out")]
    counts = [page.count("data:image/webp") for page in pages]
    assert counts[0] == counts[1] > 3


@pytest.mark.parametrize("text", ["", "[]", '{"hours": 3}', "[" * 100_000])
def test_products_are_written_again_where_it_is_not_known_what_they_show(
    text, there, source, tmp_path
):
    arrive(there, *source)
    once(there, tmp_path / "out")
    before = tables(tmp_path / "out")
    (tmp_path / "out" / "follow" / "published.json").write_text(text)
    once(there, tmp_path / "out")
    assert tables(tmp_path / "out") == before
