"""The least that settings may be."""

from typing import Any

from medicane_models.errors import ConfigurationError

__all__ = ["at_least"]


def at_least(section: str, settings: Any, **least: float) -> None:
    """Refuse settings of a section that are given and below what they may be.

    Raises:
        ConfigurationError: naming the first.
    """
    for name, lowest in least.items():
        if (value := getattr(settings, name)) is not None and value < lowest:
            raise ConfigurationError(f"{section}.{name} is {value}; give at least {lowest:g}")
