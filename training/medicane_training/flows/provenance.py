"""What a model was trained on, in a few words that travel with it."""

from medicane_models.network.configuration import MedicaneConfig
from medicane_training.clips.parts import Clips
from medicane_training.recipes.sections import ModelSettings

__all__ = ["is_simulated", "trained_on"]

SIMULATED = "simulated"
BEFORE = " Before that: "


def is_simulated(clips: Clips) -> bool:
    """Whether any frame of the store comes from the simulation."""
    return SIMULATED in _platforms(clips)


def trained_on(clips: Clips, model: ModelSettings) -> str:
    """Clips, platforms, period, storms and split of the training, then those of the initial model.

    Data of which any part is simulated are called so.

    Args:
        clips: of which those for training count.
        model: what it started from.
    """
    table = clips.table("train")
    storms = table.loc[table["storm"] != "", "storm"].nunique()
    first, last = table["end"].min(), table["end"].max()
    platforms = [name for name in _platforms(clips) if name != SIMULATED]
    places = [*(["SIMULATED scenes"] if is_simulated(clips) else []), *platforms]
    split = clips.settings.split
    seed = "" if split.by in ("dates", "file") else f", seed {split.seed or 0}"
    own = (
        f"{len(table)} clips of {' and '.join(places)}, {first:%Y-%m-%d} to {last:%Y-%m-%d}, "
        f"{storms} {'storm' if storms == 1 else 'storms'}; split by {split.by}{seed}."
    )
    return BEFORE.join([own, *(before for before in _before(model) if before != own)])


def _before(model: ModelSettings) -> list[str]:
    """What the initial model was trained on, newest first."""
    if model.init is None:
        return []
    known = MedicaneConfig.from_pretrained(model.init, revision=model.init_revision).trained_on
    return known.split(BEFORE) if known else []


def _platforms(clips: Clips) -> list[str]:
    """As the sources of the frames name them, before the colon."""
    sources = [str(source) for source in clips.store.frames["source"].unique()]
    named = {source.partition(": ")[0] for source in sources if ": " in source}
    unnamed = {"an unrecorded platform"} if any(": " not in source for source in sources) else set()
    return sorted(named | unnamed)
