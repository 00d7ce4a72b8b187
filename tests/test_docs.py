"""The documentation: every page runs as it is printed, and every link leads somewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import documented_files as files
import pytest
from documents import PAGES, READ, ROOT, anchors, blocks, links, named, run_page

RUN_BY = {"install", "test", "lowest", "api", "plain", "serve", "shown"}
"""Names of blocks: run by .ci/run, by a test of their own, or (shown) by nobody here."""


@pytest.fixture(scope="session")
def downloads(tmp_path_factory) -> Path:
    """What a reader has downloaded."""
    folder = tmp_path_factory.mktemp("downloads")
    files.write_haiyan(folder)
    files.write_own_storms(folder)
    for name in ("ianos", "mawar", "ian"):
        getattr(files, f"write_{name}")(folder / name)
    (folder / "haiyan").mkdir()
    for path in folder.glob("GRIDSAT*"):
        shutil.copy(path, folder / "haiyan")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "README.md"], ids=lambda page: str(page.relative_to(ROOT))
)
def test_a_page_runs_as_it_is_printed(page, downloads, tmp_path, monkeypatch):
    shutil.copytree(downloads, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    run_page(page)


@pytest.mark.parametrize("page", READ, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        place = page.parent / path if path else page
        assert place.exists(), link
        assert not anchor or anchor in anchors(place), link


@pytest.mark.parametrize("page", READ, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_block_that_does_not_run_with_its_page_says_who_runs_it(page):
    names = {block.name for block in blocks(page) if block.language in ("bash", "python")}
    own = {name for name in names if name and not name.startswith("file: ")}
    assert own <= RUN_BY


def test_every_page_is_in_the_list_of_pages():
    contents = ROOT / "docs" / "README.md"
    assert {os.path.normpath(link) for link in links(contents)} >= {page.name for page in PAGES} - {
        "README.md"
    }


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> dict[Path, str]:
    """Pages of the API reference, without their scripts, by the command that CONTRIBUTING gives."""
    out = tmp_path_factory.mktemp("reference")
    command = named(ROOT / "CONTRIBUTING.md", "api").replace("build/api", str(out))
    command = command.replace(".venv/bin/pdoc", f"{sys.executable} -m pdoc")
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Warn" not in done.stderr
    scripts = re.compile(r"<script.*?</script>", re.S)
    return {page: scripts.sub("", page.read_text("utf-8")) for page in out.rglob("*.html")}


@pytest.mark.slow
def test_the_reference_has_a_page_for_every_room(reference):
    rooms = {path.parent.name for path in ROOT.glob("medicane_models/*/__init__.py")} - {"cli"}
    assert rooms <= {page.stem for page in reference}


@pytest.mark.slow
def test_links_of_the_reference_lead_somewhere(reference):
    found = {page: set(re.findall(r'id="([^"]+)"', text)) for page, text in reference.items()}
    for page, text in reference.items():
        for link in set(re.findall(r'href="(?![a-z]+:)([^"]+)"', text)):
            path, _, anchor = link.partition("#")
            place = (page.parent / path).resolve() if path else page
            assert place in found, (page.name, link)
            assert not anchor or anchor in found[place], (page.name, link)
