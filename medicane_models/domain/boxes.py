"""WEST,SOUTH,EAST,NORTH as a person writes it."""

from medicane_models.errors import ConfigurationError

__all__ = ["degrees_of_box"]

WIDEST_WRAPPED_BOX = 180.0  # degrees


def degrees_of_box(text: str) -> tuple[float, float, float, float]:
    """West, south, east and north of a text, with an east above the west.

    Raises:
        ConfigurationError: if the text is no such box; it says why.
    """
    try:
        west, south, east, north = (float(value) for value in text.split(","))
    except ValueError:
        raise ConfigurationError(
            f"domain {text!r} is neither model, nor native, nor WEST,SOUTH,EAST,NORTH in degrees"
        ) from None
    if not all(-180 <= longitude <= 360 for longitude in (west, east)):
        raise ConfigurationError(f"domain {text!r} has a longitude that is not in -180 … 360")
    if not -90 <= south < north <= 90:
        raise ConfigurationError(
            f"domain {text!r} reaches from {south:g}°N to {north:g}°N; give a south below the "
            "north, both in -90 … 90"
        )
    wrapped = east if east > west else east + 360
    limit = 360.0 if east > west else WIDEST_WRAPPED_BOX
    if not 0 < wrapped - west <= limit:
        raise ConfigurationError(
            f"domain {text!r} reaches {wrapped - west:g}° eastwards from {west:g} to {east:g}; "
            "exchange west and east, or give a narrower box"
        )
    return west, south, wrapped, north
