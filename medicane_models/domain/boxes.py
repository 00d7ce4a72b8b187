"""WEST,SOUTH,EAST,NORTH as a person writes it."""

from typing import Any

from medicane_models.errors import ConfigurationError, shown

__all__ = ["degrees_of_box"]

WIDEST_WRAPPED_BOX = 180.0  # degrees


def degrees_of_box(box: Any, what: str = "domain") -> tuple[float, float, float, float]:
    """West, south, east and north of a box, with an east above the west.

    Args:
        box: what a person wrote, a text or four numbers.
        what: it is, for messages; a domain may also be a word.

    Raises:
        ConfigurationError: if it is no such box; it says why.
    """
    try:
        values = box.split(",") if isinstance(box, str) else box
        west, south, east, north = (float(value) for value in values)
        if isinstance(box, bytes):
            raise TypeError("bytes are numbers, too")
    except (TypeError, ValueError):
        words = "neither model, nor native, nor" if what == "domain" else "not"
        raise ConfigurationError(
            f"{what} {shown(box)} is {words} WEST,SOUTH,EAST,NORTH in degrees"
        ) from None
    if not all(-180 <= longitude <= 360 for longitude in (west, east)):
        raise ConfigurationError(f"{what} {shown(box)} has a longitude that is not in -180 … 360")
    if not -90 <= south < north <= 90:
        raise ConfigurationError(
            f"{what} {shown(box)} reaches from {south:g}°N to {north:g}°N; give a south below the "
            "north, both in -90 … 90"
        )
    wrapped = east if east > west else east + 360
    limit = 360.0 if east > west else WIDEST_WRAPPED_BOX
    if not 0 < wrapped - west <= limit:
        raise ConfigurationError(
            f"{what} {shown(box)} reaches {wrapped - west:g}° eastwards from {west:g} to {east:g}; "
            "exchange west and east, or give a narrower box"
        )
    return west, south, wrapped, north
