"""Everything that may go wrong with one value of a document."""

import copy
from collections.abc import Iterator
from typing import Any

Path = tuple[Any, ...]
REMOVED = object()
NAN, INF = float("nan"), float("inf")
OTHERS = (
    None, True, False, 0, 1, -1, 2.5, 0.5, 10**12, 10**400, 1e300, NAN, INF, -INF, "", " ", "x",
    "1", [], {}, [1], [[1]], ["x"], {"x": 1}, REMOVED,
)  # fmt: skip


def changed(document: Any) -> Iterator[tuple[Path, Any, Any]]:
    """Where, the new value, and the document with it there and nowhere else."""
    for path, value in _values(document):
        for other in (*OTHERS, *_near(value)):
            if not _same(other, value):
                yield path, other, _with(document, path, other)


def _near(value: Any) -> list[Any]:
    """Slips of the pen."""
    if isinstance(value, str):
        return [value + "x", value.upper(), value.replace("_", " "), f" {value}", [value]]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return []
    return [str(value), [value], -value, float(value) + 0.25]


def _same(one: Any, other: Any) -> bool:
    flags = isinstance(one, bool) + isinstance(other, bool)
    return flags != 1 and one == other


def _values(document: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        yield (*path, key), value
        if isinstance(value, dict | list):
            yield from _values(value, (*path, key))


def _with(document: Any, path: Path, value: Any) -> Any:
    new = copy.deepcopy(document)
    *parents, last = path
    place = new
    for key in parents:
        place = place[key]
    if value is REMOVED:
        del place[last]
    else:
        place[last] = value
    return new
