"""Settings written down, so that nothing is gone on with that was begun with others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medicane_models.fields import json_object
from medicane_models.files import json_text, parse_json, write_json

__all__ = ["differing_settings"]


def differing_settings(path: Path, settings: Mapping[str, Any]) -> list[str]:
    """Names of settings that are not those of a file, which is written if it is absent.

    Args:
        path: of the file.
        settings: anything that :func:`write_json` takes.
    """
    if not path.exists():
        write_json(path, settings)
        return []
    asked, kept = parse_json(json_text(settings).encode(), path), json_object(path)
    return [name for name in asked if asked[name] != kept.get(name)]
