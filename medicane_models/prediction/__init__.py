"""From scenes to detections and tracks."""
