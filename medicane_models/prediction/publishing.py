"""Products take their places in a folder whole, and those of another run leave it."""

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from medicane_models.errors import ConfigurationError
from medicane_models.files import staging
from medicane_models.prediction.products import ProductWriter, map_path

__all__ = ["INTERRUPTED", "earlier_products", "replacing_products", "updating_products"]

log = logging.getLogger(__name__)

INTERRUPTED = "interrupted"
"""The folder, in that of the products, of what a run has judged that has not come to its end."""

PATTERNS = (
    "detections.*",
    "tracks.*",
    "forecasts.csv",
    "truth.csv",
    "report.html",
    "density.png",
    "maps/????????_????.png",
    "films/*",
)
UNFINISHED = (*PATTERNS, "hours/*", "settings.json")


@contextmanager
def replacing_products(
    out: Path, *, plot: bool = True, report: bool = True, overwrite: bool = False, **chosen: Any
) -> Iterator[ProductWriter]:
    """Yield a writer whose files take their places in ``out`` at the end, if it wrote detections.

    Until then they lie in a hidden folder there. Results of an earlier run are replaced and removed
    by complete ones only; incomplete ones go beside them, into ``out/interrupted``, which the next
    complete ones remove. If nothing was written, everything is as it was before.

    Args:
        out: the folder, made if absent.
        plot: whether to draw maps.
        report: whether to write a page.
        overwrite: whether results of an earlier run may be replaced.
        **chosen: of `ProductWriter`.

    Raises:
        ConfigurationError: if there are some and ``overwrite`` is False, or another process writes
            there.
        OutputError: if the folder cannot be written.
        MissingExtraError: if maps are to be drawn and matplotlib is not installed.
    """
    unfinished = out / INTERRUPTED
    with staging(out) as folder:
        earlier = earlier_products(out)
        if earlier and not overwrite:
            raise ConfigurationError(
                f"{out} holds results of an earlier run ({earlier[0].name}); "
                "choose another folder or give --overwrite"
            )
        writer = ProductWriter(folder, plot=plot, report=report, **chosen)
        try:
            yield writer
        finally:
            if writer.complete:
                _publish(folder, out, [*earlier, *_found(unfinished, UNFINISHED)])
                for emptied in ("maps", "films", "hours", ""):
                    with suppress(OSError):
                        (unfinished / emptied).rmdir()
            elif writer.complete is not None:
                _publish(folder, unfinished, earlier_products(unfinished))
                log.info("what was judged before the interruption is in %s", unfinished)


@contextmanager
def updating_products(
    out: Path, *, kept: Collection[pd.Timestamp], **chosen: Any
) -> Iterator[ProductWriter]:
    """Yield a writer whose files take the places of earlier ones in ``out``, if all went well.

    Args:
        out: the folder, made if absent; who calls keeps other processes from it.
        kept: ends of clips whose earlier maps stay.
        **chosen: of `ProductWriter`.

    Raises:
        OutputError: if the folder cannot be written.
    """
    with staging(out, alone=False) as folder:
        writer = ProductWriter(folder, **chosen)
        yield writer
        maps = {map_path(out, end) for end in kept}
        _publish(folder, out, [path for path in earlier_products(out) if path not in maps])


def earlier_products(folder: Path) -> list[Path]:
    """Files of an earlier run."""
    return _found(folder, PATTERNS)


def _found(folder: Path, patterns: Sequence[str]) -> list[Path]:
    return [path for pattern in patterns for path in folder.glob(pattern)]


def _publish(folder: Path, out: Path, earlier: Sequence[Path]) -> None:
    """Move the files of a folder to their places, then remove those of an earlier run."""
    new = [out / path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    for path in new:
        path.parent.mkdir(parents=True, exist_ok=True)
        (folder / path.relative_to(out)).replace(path)
    for path in set(earlier) - set(new):
        path.unlink(missing_ok=True)
