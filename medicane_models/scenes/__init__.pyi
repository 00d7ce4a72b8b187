from .opening import open_scene, scene_grid

__all__ = ["open_scene", "scene_grid"]
