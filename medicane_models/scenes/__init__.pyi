from .opening import open_scene, scene_grid
from .scan_times import pixel_time

__all__ = ["open_scene", "pixel_time", "scene_grid"]
