"""Names of the infrared channels: SEVIRI's stand for those of the other imagers."""

from collections.abc import Iterable, Sequence

from medicane_models.errors import SceneError

__all__ = ["AIRMASS", "DEFAULT_CHANNELS", "canonical", "found", "sensor_of"]

AIRMASS = "airmass"
DEFAULT_CHANNELS = ("WV_062", "WV_073", "IR_097", "IR_108")
SEVIRI = ("IR_039", "WV_062", "WV_073", "IR_087", "IR_097", "IR_108", "IR_120", "IR_134")
NAMES = {
    "seviri": SEVIRI,
    "fci": ("ir_38", "wv_63", "wv_73", "ir_87", "ir_97", "ir_105", "ir_123", "ir_133"),
    "abi": ("C07", "C08", "C10", "C11", "C12", "C13", "C15", "C16"),
    "ahi": ("B07", "B08", "B10", "B11", "B12", "B13", "B15", "B16"),
}
"""Per sensor its names of the same eight bands, in the order of SEVIRI's."""

CANONICAL = {
    name.lower(): seviri
    for names in NAMES.values()
    for name, seviri in zip(names, SEVIRI, strict=True)
}


def canonical(name: str) -> str | None:
    """The SEVIRI name of a channel of any of the sensors; None for anything else.

    ``CMI_C13``, as the multi-band files of ABI have it, counts as ``C13``.
    """
    return CANONICAL.get(name.lower().removeprefix("cmi_"))


def sensor_of(names: Iterable[str]) -> str | None:
    """The sensor whose channel names these are, None if there is none.

    SEVIRI's names tell nothing, since they stand for those of any imager.
    """
    spelled = {name.removeprefix("CMI_") for name in names}
    others = {sensor: own for sensor, own in NAMES.items() if sensor != "seviri"}
    return next((sensor for sensor, own in others.items() if spelled & set(own)), None)


def found(present: Iterable[str], wanted: Sequence[str] | None, file: str) -> dict[str, str]:
    """Where the wanted channels are in a file: canonical name → name in the file.

    Args:
        present: names in the file.
        wanted: names of any sensor; None for the four of the Airmass RGB.
        file: name for the message.

    Raises:
        SceneError: if one is unknown or absent; it says what is there.
    """
    present = list(present)
    known = {canonical(name): name for name in reversed(present) if canonical(name)}
    names = [canonical(name) or name for name in wanted or DEFAULT_CHANNELS]
    missing = [name for name in names if name not in known]
    if missing:
        raise SceneError(
            f"{file} has no brightness temperature {', '.join(missing)} "
            f"(wanted: {', '.join(names)}; there: {', '.join(map(str, present)) or 'nothing'})"
        )
    return {name: known[name] for name in names}
