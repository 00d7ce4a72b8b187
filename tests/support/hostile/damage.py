"""Ways to spoil a file, drawn by a seeded generator; each says in words what it did."""

import gzip
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Draw = np.random.Generator
Spoil = Callable[[Path, Draw], str]
"""Changes the one file or folder it is given."""

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
WORDS = (
    "", " ", "nan", "NaN", "inf", "-inf", "-", "--5", "1e400", "1e-400", "9" * 400, "-1", "0", "1",
    "0x10", "1_000", "١٢", "None", "null", "true", "é", "\u202e", "\x00", '"', "'", ",", ";", "\t",
    "\n", "\r", "#", "=1+1", "999999", "1e18", "-0", "3.5", "91", "361", "2020-02-30", "0001-01-01",
    "9999-12-31T23:59", "10000-01-01", "2020-01-01T00:00+99:00", "../../etc/passwd", "/dev/zero",
    "{}", "[]", "[" * 5000, "!!python/object/apply:os.system [id]", "*x", "&x", "𐍈", "\ud7ff",
)  # fmt: skip
TEXT_WAYS = ("word", "swap", "line out", "line twice", "line moved")
TOKEN = re.compile(r"[^\s,;:{}\[\]\"'()=]+")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Files of one kind.

    Attributes:
        make: writes small valid ones into an empty folder and returns what is given to read.
        read: reads what was given as the package does.
        wrong: what no reader may return, in words; "" for a sound result.
        is_text: whether single words may be changed, too.
        others: further ways to spoil what was given, for this kind alone.
        share: how often the kind is drawn, 1 for what reads in a hundredth of a second.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    wrong: Callable[[Any], str] = lambda result: ""
    is_text: bool = False
    others: Sequence[Spoil] = ()
    share: float = 1.0
    names: Sequence[str] = field(default_factory=tuple)


def spoil(kind: Kind, given: Path, draw: Draw) -> tuple[Path, str]:
    """Spoil what was given in one of the ways of its kind; where it is now, and what was done."""
    ways: list[tuple[float, Callable[[], str]]] = [
        (4, lambda: in_a_file(given, draw, spoil_bytes)),
        (0.5, lambda: in_a_file(given, draw, odd_file)),
    ]
    if kind.is_text:
        ways.append((4, lambda: in_a_file(given, draw, spoil_text)))
    ways += [(4 / len(kind.others), lambda way=way: way(given, draw)) for way in kind.others]
    weights = np.array([weight for weight, _ in ways])
    if draw.random() < 0.02:
        return odd_name(given, draw)
    return given, ways[draw.choice(len(ways), p=weights / weights.sum())][1]()


def in_a_file(given: Path, draw: Draw, way: Spoil) -> str:
    """Spoil one of the files that were given."""
    files = files_of(given)
    path = files[draw.integers(len(files))]
    return f"{path.name}: {way(path, draw)}"


def spoil_bytes(path: Path, draw: Draw) -> str:
    """Truncated, flipped, overwritten, cut out, doubled, or with a number made extreme."""
    data = bytearray(path.read_bytes())
    size = max(len(data), 1)
    # headers are worth more than pixels
    start = int(draw.integers(min(size, 512))) if draw.random() < 0.4 else int(draw.integers(size))
    span = int(2 ** draw.uniform(0, 8))
    way = str(draw.choice(
        ["truncated", "flipped", "zeros", "ones", "cut", "doubled", "noise", "number", "longer",
         "empty", "many flipped"],
        p=[0.15, 0.3, 0.06, 0.06, 0.06, 0.06, 0.06, 0.14, 0.03, 0.01, 0.07],
    ))  # fmt: skip
    match way:
        case "truncated":
            data = data[:start]
        case "flipped":
            if data:
                data[start] ^= 1 << int(draw.integers(8))
        case "many flipped":
            for place in draw.integers(size, size=min(len(data), int(2 ** draw.uniform(1, 7)))):
                data[int(place)] ^= 1 << int(draw.integers(8))
        case "zeros" | "ones":
            fill = b"\0" if way == "zeros" else b"\xff"
            data[start : start + span] = fill * len(data[start : start + span])
        case "cut":
            del data[start : start + span]
        case "doubled":
            data[start:start] = data[start : start + span]
        case "noise":
            data[start : start + span] = draw.bytes(len(data[start : start + span]))
        case "number":
            width = int(draw.choice([1, 2, 4, 8]))
            value = int(draw.choice(np.array(EXTREMES, dtype=object))) % 2 ** (8 * width)
            start -= start % width
            data[start : start + width] = value.to_bytes(width, str(draw.choice(["little", "big"])))
        case "longer":
            data += draw.bytes(span)
        case "empty":
            data = bytearray()
    path.write_bytes(bytes(data))
    return f"{way} at {start} ({span})"


def spoil_text(path: Path, draw: Draw) -> str:
    """One word, or a line, is another one."""
    raw = path.read_bytes()
    packed = raw.startswith(b"\x1f\x8b")
    text = (gzip.decompress(raw) if packed else raw).decode("utf-8", "surrogateescape")
    what = "nothing"
    for _ in range(int(draw.choice([1, 1, 1, 2, 4]))):
        words = list(TOKEN.finditer(text))
        lines = text.split("\n")
        if not words:
            break
        match draw.choice(TEXT_WAYS, p=[0.6, 0.2, 0.07, 0.07, 0.06]):
            case "word":
                word, new = words[draw.integers(len(words))], WORDS[draw.integers(len(WORDS))]
                text = text[: word.start()] + new + text[word.end() :]
                what = f"{word[0][:30]!r} became {new[:30]!r}"
            case "swap":
                word, other = (words[i] for i in draw.integers(len(words), size=2))
                text = text[: word.start()] + other[0] + text[word.end() :]
                what = f"{word[0][:30]!r} became {other[0][:30]!r}"
            case "line out":
                del lines[draw.integers(len(lines))]
                text, what = "\n".join(lines), "a line is missing"
            case "line twice":
                place = int(draw.integers(len(lines)))
                lines.insert(place, lines[place])
                text, what = "\n".join(lines), f"line {place + 1} twice"
            case _:
                lines.insert(int(draw.integers(len(lines))), lines.pop(draw.integers(len(lines))))
                text, what = "\n".join(lines), "a line moved"
    new = text.encode("utf-8", "surrogateescape")
    path.write_bytes(gzip.compress(new) if packed else new)
    return what


ODD_FILES = ("fifo", "zeros without end", "loop", "dangling", "folder", "huge", "null", "link")


def odd_file(path: Path, draw: Draw) -> str:
    """In its place something that is no file, or no end of one."""
    way = str(draw.choice(ODD_FILES))
    content = path.read_bytes()
    path.unlink()
    match way:
        case "fifo":
            os.mkfifo(path)
        case "zeros without end":
            path.symlink_to("/dev/zero")
        case "loop":
            path.symlink_to(path)
        case "dangling":
            path.symlink_to(path.with_name("nowhere"))
        case "folder":
            path.mkdir()
        case "huge":  # a sparse file: no disk is needed for 64 GiB
            path.write_bytes(content)
            os.truncate(path, 2**36)
        case "null":
            path.symlink_to("/dev/null")
        case "link":
            hidden = path.with_name("elsewhere.bytes")
            hidden.write_bytes(content)
            path.symlink_to(hidden)
    return way


ODD_NAMES = (
    "new\nline", "ÜÑÎ ☃", "a'b\"c", "-o", "%s {0}", "[x]*?", "\udcff\udcfe", "~", "#?&", " ",
)  # fmt: skip


def files_of(given: Path, *patterns: str) -> list[Path]:
    """The files of a folder, or the one that was given."""
    found = [path for form in patterns or ("*",) for path in given.rglob(form) if path.is_file()]
    return sorted(found) if given.is_dir() else [given]


def odd_name(given: Path, draw: Draw) -> tuple[Path, str]:
    """The same under a name, or in a folder, that few expect."""
    odd = ODD_NAMES[draw.integers(len(ODD_NAMES))]
    folder = given.parent / odd
    folder.mkdir()
    moved = folder / given.name
    shutil.move(given, moved)
    for beside in given.parent.iterdir():
        if beside != folder:
            shutil.move(beside, folder / beside.name)
    return moved, f"in the folder {odd!r}"
