"""Judging the clips of a part, each exactly once, however many ranks there are."""

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
import torch

from medicane_models.network.base import MedicaneModel
from medicane_training.clips.batches import ClipBatch
from medicane_training.engines.interface import autocast
from medicane_training.flows.interface import Columns, Flow, Table
from medicane_training.ranks import Ranks, gathered, shared

__all__ = ["judge_part", "readable"]

Watch = Callable[[Iterable[Any], int], Iterable[Any]]


def judge_part(
    flow: Flow[Any],
    model: MedicaneModel,
    part: str,
    *,
    ranks: Ranks,
    released: bool = False,
    watch: Watch = lambda items, total: items,
    pause: Callable[[], None] = lambda: None,
) -> Table:
    """What a model makes of each clip of a part. Called on all ranks, each judges its own clips.

    Args:
        flow: judges.
        model: to judge with, in evaluation mode.
        part: ``validation`` or ``test``.
        ranks: of the run.
        released: judge as prediction does, with the model's views.
        watch: passes the batches on and may show how many there were.
        pause: called on all ranks before each batch; it may raise.

    Returns:
        A row a clip, ordered by clip, the same on all ranks.
    """
    loader = flow.clips.evaluation(part, rank=ranks.rank, world_size=ranks.world_size)
    judge = flow.judge_released if released else flow.judge
    device = next(model.parameters()).device
    # ranks may have one batch fewer than the first, and must pause as often
    batches = shared(len(loader), ranks)
    own, tables = iter(loader), []
    for _ in watch(range(batches), batches):
        pause()
        if (batch := next(own, None)) is not None:
            with torch.no_grad(), autocast(device, flow.recipe.engine):
                tables.append(_table(batch, judge(model, batch.to(device))))
    own_table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    judged = shared(gathered(own_table, ranks), ranks)
    assert judged is not None
    return judged.drop_duplicates("clip").sort_values("clip", ignore_index=True)


def readable(table: Table, flow: Flow[Any]) -> pd.DataFrame:
    """A table of judged clips with when and where they are."""
    store = flow.clips.store
    where = store.clips.iloc[table["clip"]][store.key]
    return pd.concat([where.reset_index(drop=True), table], axis="columns")


def _table(batch: ClipBatch, columns: Columns) -> Table:
    values: dict[str, Any] = {"clip": batch.clip.cpu().numpy()}
    for name, column in columns.items():
        values[name] = column if column.ndim == 1 else list(column)
    return pd.DataFrame(values)
