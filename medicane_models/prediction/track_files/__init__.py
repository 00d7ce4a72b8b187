"""Tracks as files: a module a format, and the list of them."""
