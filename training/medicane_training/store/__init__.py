"""The clip store: what builds, labels, holds and reads it."""
