import numpy as np
import pytest

from medicane_models.domain import Grid, local_plane
from medicane_models.scenes.sampling import PlaneSampler

DISK = Grid.full_disk(0)


def lonlat_frames(grid):
    """Longitude, latitude and a constant, as a scene would hold them."""
    pixels = np.meshgrid(np.arange(grid.width), np.arange(grid.height))
    lon, lat = grid.pixel_to_lonlat(*pixels)
    return np.stack([lon, lat, np.where(np.isfinite(lon), 280.0, np.nan)]).astype(np.float32)


def test_a_plane_of_a_disk_holds_what_the_disk_holds():
    plane = local_plane(20, 35, size=48, km=10)
    lon, lat, constant = PlaneSampler(DISK, [plane])(lonlat_frames(DISK))[0]
    expected = plane.pixel_to_lonlat(*np.meshgrid(np.arange(48), np.arange(48)))
    assert np.allclose([lon, lat], expected, atol=0.01)
    assert constant == pytest.approx(280)
