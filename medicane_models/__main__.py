"""``python -m medicane_models``: the ``medicane`` command."""

from medicane_models.cli import main

if __name__ == "__main__":
    main()
