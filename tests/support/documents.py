"""Pages of the documentation, and what is printed in them run as it stands there.

A block under a comment with a name, ``<!-- name -->``, is for whoever asks for it by that name;
one under ``<!-- file: NAME -->`` is a file that the page's commands find. All other Python and
shell of a page runs from top to bottom, as its reader would type it.
"""

import re
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from typer.testing import CliRunner

from medicane_export import cli as export
from medicane_models import cli as models
from medicane_training import cli as training

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
ROOMS = ("training", "export", "model_cards")
READ = [*PAGES, *sorted(ROOT.glob("*.md")), *(ROOT / room / "README.md" for room in ROOMS)]
PROGRAMS = {"medicane": models.app, "medicane-train": training.app, "medicane-export": export.app}
BLOCK = re.compile(
    r"(?:^<!-- (?P<name>[^\n]*) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """What stands between fences; without a name it runs with its page."""

    name: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    found = BLOCK.finditer(page.read_text("utf-8"))
    return [Block(match["name"] or "", match["language"], match["text"]) for match in found]


def named(page: Path, name: str) -> str:
    """The one block of that name."""
    (text,) = [block.text for block in blocks(page) if block.name == name]
    return text


def run_page(page: Path) -> None:
    """Run a page in the working folder."""
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as a reader sees them: words on a terminal
        for block in blocks(page):
            run_block(block, names)


def run_block(block: Block, names: dict[str, Any]) -> None:
    if block.name.startswith("file: "):
        Path(block.name.removeprefix("file: ")).write_text(block.text, "utf-8")
    elif block.name:
        return
    elif block.language == "python":
        exec(compile(block.text, "the page's Python", "exec"), names)
    elif block.language == "bash":
        for line in command_lines(block.text):
            run_command(line)


def command_lines(text: str) -> Iterator[list[str]]:
    """Words of each line, as a shell takes them apart."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield [name for word in words for name in expanded(word)]


def expanded(word: str) -> list[str]:
    """The files of a pattern, as a shell lists them."""
    return sorted(map(str, Path().glob(word))) if "*" in word else [word]


def run_command(words: list[str]) -> None:
    """Run one of our programs; a page that needs another one gives the block a name."""
    program, *arguments = words
    result = CliRunner().invoke(PROGRAMS[program], arguments)
    assert result.exit_code == 0, (words, result.output, result.exception)


def links(page: Path) -> list[str]:
    """Where a page points to within the repository."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    return [link for link in LINK.findall(text) if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, as GitHub does."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
