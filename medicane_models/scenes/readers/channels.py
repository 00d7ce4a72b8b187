"""Which of the names in a file are the bands asked for."""

from collections.abc import Iterable, Mapping, Sequence, Set

from medicane_models.errors import SceneError
from medicane_models.scenes.instruments import IMAGERS, Imager, meanings

__all__ = ["AIRMASS", "DEFAULT_CHANNELS", "WINDOW", "asked_for", "found", "sole_variables"]

AIRMASS = "airmass"
DEFAULT_CHANNELS = ("WV_062", "WV_073", "IR_097", "IR_108")
WINDOW = "IR_108"  # the infrared window, 10.2 … 11.5 µm


def found(
    present: Iterable[str],
    wanted: Sequence[str] | None,
    file: str,
    imagers: Sequence[Imager] = IMAGERS,
) -> dict[str, str]:
    """Where the wanted channels are in a file: canonical name → name in the file.

    Args:
        present: names in the file.
        wanted: names of any sensor; None for the four of the Airmass RGB or, where none but the
            infrared window is there or the imager has not all four, for that alone.
        file: name for the message.
        imagers: those that the file may be of.

    Raises:
        SceneError: if one is unknown, absent, there twice or of several meanings; it says what is
            there.
    """
    bands = {name: meanings(name, imagers) for name in present}
    there = frozenset().union(*bands.values())
    return sole_variables(bands, asked_for(there, wanted, imagers), file)


def asked_for(
    there: Set[str], wanted: Sequence[str] | None, imagers: Sequence[Imager] = IMAGERS
) -> tuple[str, ...]:
    """Canonical names of what to read.

    Args:
        there: the bands that may be there.
        wanted: as in :func:`found`.
        imagers: whose names the wanted ones may be.
    """
    if wanted is None:
        is_alone = there & set(DEFAULT_CHANNELS) == {WINDOW}
        is_poor = WINDOW in there and bool(imagers) and not any(map(_has_airmass, imagers))
        return (WINDOW,) if is_alone or is_poor else DEFAULT_CHANNELS
    return tuple(_canonical(name, imagers) for name in wanted)


def sole_variables(
    bands: Mapping[str, Set[str]], wanted: Sequence[str], file: str
) -> dict[str, str]:
    """The one variable that holds each wanted band.

    Args:
        bands: per variable of the file the bands that it may be.
        wanted: canonical names.
        file: name for the message.

    Raises:
        SceneError: as :func:`found`.
    """
    _refuse_unclear(bands, wanted, file)
    holders = {name: [v for v, means in bands.items() if means == {name}] for name in wanted}
    if missing := [name for name, variables in holders.items() if not variables]:
        raise SceneError(
            f"{file} has no brightness temperature {', '.join(missing)} "
            f"(wanted: {', '.join(wanted)}; there: {', '.join(map(str, bands)) or 'nothing'})"
        )
    for name, variables in holders.items():
        if len(variables) > 1:
            raise SceneError(
                f"{' and '.join(variables)} of {file} are both {name}; drop all but one of them"
            )
    return {name: variables[0] for name, variables in holders.items()}


def _has_airmass(imager: Imager) -> bool:
    return set(DEFAULT_CHANNELS) <= {channel.seviri for channel in imager.channels}


def _canonical(name: str, imagers: Sequence[Imager]) -> str:
    means = meanings(name, imagers) or meanings(name)
    if len(means) > 1:
        raise SceneError(
            f"channel {name} is {' or '.join(sorted(means))}, depending on the sensor, which the "
            "file does not tell; ask for one of these"
        )
    return next(iter(means), name)


def _refuse_unclear(bands: Mapping[str, Set[str]], wanted: Sequence[str], file: str) -> None:
    """Names that different imagers give to different bands tell nothing without the sensor."""
    for variable, means in bands.items():
        if len(means) > 1 and means & set(wanted):
            raise SceneError(
                f"{variable} of {file} is {' or '.join(sorted(means))}, depending on the sensor, "
                'which the file does not tell; write it into the attribute "sensor", such as "abi"'
            )
