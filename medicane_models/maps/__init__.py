"""Pictures of scenes, detections and tracks."""
