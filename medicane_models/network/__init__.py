"""The video transformers: configuration, parts, models, weights."""
