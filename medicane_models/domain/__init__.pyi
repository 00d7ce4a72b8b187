from .distances import EARTH_RADIUS_KM, geodesic_km, great_circle_km
from .grid import MEDITERRANEAN, Grid, Tile, legacy_pixel, parse_box
from .projections import geostationary_crs, same_crs

__all__ = [
    "EARTH_RADIUS_KM",
    "MEDITERRANEAN",
    "Grid",
    "Tile",
    "geodesic_km",
    "geostationary_crs",
    "great_circle_km",
    "legacy_pixel",
    "parse_box",
    "same_crs",
]
