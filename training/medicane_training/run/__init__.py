"""One run: its folder, loop, checkpoints and release."""
