"""``medicane doctor``."""

import typer

from medicane_models.commands import Json, print_json, print_rows


def doctor(json: Json = False) -> None:
    """Check packages, devices and runtimes, and try each; exit code 1 if something is broken."""
    from medicane_models.diagnosis.doctor import examine

    examination = examine()
    if json:
        print_json(examination.to_dict())
    else:
        print_rows(examination.rows())
    raise typer.Exit(1 if examination.broken else 0)
