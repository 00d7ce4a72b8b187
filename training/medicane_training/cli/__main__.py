"""``python -m medicane_training.cli``: the ``medicane-train`` command."""

from medicane_training.cli import main

if __name__ == "__main__":
    main()
