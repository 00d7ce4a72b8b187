"""Detect and track medicanes and other cyclones in geostationary satellite video."""

from typing import Any

import lazy_loader

from medicane_models.errors import naming_extras

_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    with naming_extras():
        return _public(name)
