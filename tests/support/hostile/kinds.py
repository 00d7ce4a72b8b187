"""All kinds of files that the packages read."""

from hostile.damage import Kind
from hostile.models import MODELS
from hostile.scenes import SCENES
from hostile.tables import TABLES
from hostile.training import TRAINING

KINDS: dict[str, Kind] = {**SCENES, **TABLES, **MODELS, **TRAINING}
