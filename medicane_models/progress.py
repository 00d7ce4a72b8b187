"""A bar on long work, where somebody watches."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

__all__ = ["with_progress"]

T = TypeVar("T")


def with_progress(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Pass items on and show how many there were, on a terminal; elsewhere only pass them on."""
    if not sys.stderr.isatty():
        yield from items
    else:
        console = Console(stderr=True)
        yield from track(items, what, total=total, console=console, transient=True)
