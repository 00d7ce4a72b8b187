"""What a run has written."""

from pathlib import Path

QUICK_PRODUCTS = ["detections.csv", "detections.json", "forecasts.csv", "tracks.csv"]
"""Of a run without maps."""


def contents(folder: Path) -> dict[str, bytes]:
    """The files anywhere in a folder, by their path there."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
