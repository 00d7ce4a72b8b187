"""What a store holds of each kind of weather."""

from typing import TYPE_CHECKING, Any

from medicane_models.commands import print_json

if TYPE_CHECKING:
    from medicane_training.store.clip_store import ClipStore


def tell_strata(store: "ClipStore", *, json: bool) -> None:
    """Print how many clips there are of each kind, and of all weather."""
    rates = store.document("rates.json")
    if json:
        print_json(rates)
    else:
        _show(rates)


def _show(rates: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("stratum", "clips stored", "of all weather")
    for name, rate in rates["strata"].items():
        table.add_row(name, str(rate["stored"]), f"{rate['clips']:.0f}")
    Console().print(table)
