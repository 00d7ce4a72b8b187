"""Tables of tracks."""

import numpy as np
import pandas as pd


def path_of(track_id, lon, lat, start="2020-09-17"):
    return pd.DataFrame(
        {
            "track_id": track_id,
            "time": pd.date_range(start, periods=len(lon), freq="h"),
            "lon": lon,
            "lat": lat,
            "probability": np.linspace(0.5, 0.9, len(lon)),
            "radius_50_km": [np.nan, *[40.0] * (len(lon) - 1)],
            "radius_95_km": [np.nan, *[90.0] * (len(lon) - 1)],
            "edge": [True] + [False] * (len(lon) - 1),
        }
    )


def two_tracks():
    """Track 2 of three positions above track 1 of two, which is earlier."""
    first = path_of(2, [18.0, 18.5, 19.12345678], [37.0, 37.2, 37.4])
    return pd.concat([first, path_of(1, [5.0, 5.1], [40.0, 40.0], "2020-09-16T22:00")])
