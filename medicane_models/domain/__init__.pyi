from .distances import EARTH_RADIUS_KM, geodesic_km, great_circle_km
from .grid import MEDITERRANEAN, GivenDomain, Grid, Tile, box_grid, named_domain, parse_box
from .legacy import legacy_pixel
from .local_planes import local_plane
from .parallax import cloud_top_height_km, true_position
from .projections import geostationary_crs, nearest_turn, same_crs
from .vectors import east_and_north, lonlat_of, unit_vectors
from .viewing import satellite_zenith

__all__ = [
    "EARTH_RADIUS_KM",
    "MEDITERRANEAN",
    "GivenDomain",
    "Grid",
    "Tile",
    "box_grid",
    "cloud_top_height_km",
    "east_and_north",
    "geodesic_km",
    "geostationary_crs",
    "great_circle_km",
    "legacy_pixel",
    "local_plane",
    "lonlat_of",
    "named_domain",
    "nearest_turn",
    "parse_box",
    "same_crs",
    "satellite_zenith",
    "true_position",
    "unit_vectors",
]
