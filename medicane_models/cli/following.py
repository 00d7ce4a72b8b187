"""What --follow and --once of ``medicane predict`` mean."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from medicane_models.commands import say
from medicane_models.errors import ConfigurationError

if TYPE_CHECKING:
    from medicane_models.prediction.predictor import MedicanePredictor


def check_following(
    follow: bool, once: bool, poll: float | None, *, overwrite: bool, first_guess: Path | None
) -> None:
    """Refuse options that --follow and --once leave without a meaning."""
    if poll is not None and (once or not follow):
        remedy = "leave one of them out" if once else "give --follow"
        why = "--once is a single round" if once else "nothing is followed"
        raise ConfigurationError(f"--poll is {poll:g}, and {why}; {remedy}")
    if not (follow or once):
        return
    option = "--follow" if follow else "--once"
    if overwrite:
        raise ConfigurationError(
            f"{option} goes on with earlier results and --overwrite would replace them; leave it "
            "out, or choose another folder"
        )
    if first_guess is not None:
        raise ConfigurationError(
            f"{option} seeks cyclones wherever they come up and --first-guess only along "
            f"{first_guess}; leave one of them out"
        )


def follow_folders(
    load: Callable[[], "MedicanePredictor"],
    folders: Sequence[str],
    out: Path,
    *,
    poll: float | None,
    json: bool,
    **how: Any,
) -> None:
    """Rounds until a signal ends them, or one where there is no time to the next."""
    from json import dumps

    from medicane_models.files import to_plain
    from medicane_models.prediction.follow import Follower, following_alone
    from medicane_models.signals import Interrupts

    with following_alone(out):
        follower = Follower(load(), folders, out, **how)
        with Interrupts("following ends after the hour at hand; Ctrl-C again ends it now") as asked:
            stop = asked.stop
            rounds = [follower.round(stop)] if poll is None else follower.follow(stop, poll)
            for status in rounds:
                say(str(status))
                if json:
                    typer.echo(dumps(to_plain(status)))
