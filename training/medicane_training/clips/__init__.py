"""Clips of a store as training sees them: parts, draws, augmentation."""
