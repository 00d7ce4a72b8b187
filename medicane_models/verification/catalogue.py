"""The named medicanes since 2010: when and roughly where, and who says so."""

from pathlib import Path

import pandas as pd

__all__ = ["named_medicanes"]

CATALOGUE = Path(__file__).with_name("medicanes.csv")


def named_medicanes() -> pd.DataFrame:
    """Mediterranean cyclones with a name that the literature discusses as medicanes.

    It helps to find storms in an archive and to recognise them in tracks; it is neither complete
    (storms without a name or without a source that could be checked are left out) nor accurate
    enough to train on.

    Returns:
        A row a storm, sorted by time: ``name``; ``other_names`` ("" if none); ``start, end``, the
        first and last day of the whole cyclone, of which it is tropical-like for a day or two;
        ``time, lat, lon``, one approximate position, rounded to half a degree and good to about
        100 km, and its ``place`` in words; ``disputed``, whether experts deny that it was a
        medicane; ``source``, what each statement rests on; ``url`` of the main source.
    """
    return pd.read_csv(
        CATALOGUE,
        parse_dates=["start", "end", "time"],
        date_format="ISO8601",
        keep_default_na=False,
    ).sort_values("start", ignore_index=True)
