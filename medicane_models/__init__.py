"""Detect and track medicanes and other cyclones in geostationary satellite video."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
