import pandas as pd
import pytest
from sample_tracks import two_tracks

from medicane_models.prediction.tracks import TRACK_COLUMNS, as_tracks


@pytest.fixture
def tracks():
    return two_tracks()


@pytest.fixture
def nothing():
    return as_tracks(pd.DataFrame(columns=list(TRACK_COLUMNS)))
