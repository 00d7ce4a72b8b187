"""Strictly from YAML's values to dataclasses: no text for numbers, no numbers for flags."""

import math
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import cattrs
from cattrs.errors import ClassValidationError

from medicane_models.errors import ConfigurationError, shown
from medicane_models.fields import conform, described
from medicane_models.network.configuration import MedicaneConfig
from medicane_training.recipes.kinds import Recipe

__all__ = ["WrongValueError", "structured"]

R = TypeVar("R", bound=Recipe)


class WrongValueError(ConfigurationError):
    """A setting has a wrong value, or does not go with another one.

    Attributes:
        keys: of the setting or section, from the outermost.
    """

    def __init__(self, message: str, keys: tuple[str, ...]) -> None:
        super().__init__(message)
        self.keys = keys


def structured(values: Mapping[str, Any], kind: type[R]) -> R:
    """A recipe of all its settings.

    Raises:
        WrongValueError: naming the first setting that is wrong.
    """
    model = {**values["model"], "changes": _typed_changes(values["model"]["changes"])}
    try:
        return _CONVERTER.structure({**values, "model": model}, kind)
    except Exception as error:
        keys, wanted, cause = _innermost(error, (), kind)
        if isinstance(cause, ConfigurationError):
            section = ".".join(keys)
            told = str(cause) if section in str(cause) else f"{section}: {cause}"
            raise WrongValueError(told, keys) from None
        if not isinstance(cause, TypeError | ValueError):
            raise
        raise _wrong(values, keys, wanted) from None


def _typed_changes(changes: Any) -> Any:
    """``model.changes`` with the types of the model's fields; the recipe refuses unknown ones."""
    if not isinstance(changes, Mapping):
        return changes
    types = get_type_hints(MedicaneConfig, include_extras=True)
    typed = dict(changes)
    for name in changes.keys() & types.keys():
        keys = ("model", "changes", name)
        try:
            typed[name] = conform(changes[name], types[name], ".".join(keys))
        except ConfigurationError as error:
            raise WrongValueError(str(error), keys) from None
    return typed


def _innermost(
    error: BaseException, keys: tuple[str, ...], kind: Any
) -> tuple[tuple[str, ...], Any, BaseException]:
    """The first error of a tree, with the keys that lead to it and the type that was wanted."""
    if not isinstance(error, ClassValidationError):
        # an item of a list or mapping: its whole is what is shown
        return keys, kind, TypeError() if isinstance(error, cattrs.BaseValidationError) else error
    noted, others = error.group_exceptions()
    if noted:
        cause, note = noted[0]
        return _innermost(cause, (*keys, note.name), note.type)
    return _innermost(others[0], keys, kind)


def _wrong(values: Any, keys: tuple[str, ...], wanted: Any) -> WrongValueError:
    for key in keys:
        values = values[key]
    return WrongValueError(f"{'.'.join(keys)} is {shown(values)}; give {described(wanted)}", keys)


def _exact(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError
    return value


def _number(value: Any, kind: type) -> float:
    try:
        number = float(_exact(value, type(value) if type(value) is int else float))
    except OverflowError:
        raise TypeError from None
    if not math.isfinite(number):
        raise TypeError
    return number


def _choice(value: Any, kind: Any) -> Any:
    if not any(type(value) is type(one) and value == one for one in get_args(kind)):
        raise ValueError
    return value


def _tuple(value: Any, kind: Any) -> tuple[Any, ...]:
    kinds = get_args(kind)
    if not isinstance(value, list | tuple):
        raise TypeError
    if kinds[-1] is ...:
        kinds = kinds[:1] * len(value)
    return tuple(_CONVERTER.structure(item, one) for item, one in zip(value, kinds, strict=True))


def _either(value: Any, kind: Any) -> Any:
    """A value of the first type that takes it; the only one besides None says what is wrong."""
    kinds = get_args(kind)
    if value is None and NoneType in kinds:
        return None
    *first, last = (one for one in kinds if one is not NoneType)
    for one in first:
        try:
            return _CONVERTER.structure(value, one)
        except (TypeError, ValueError, cattrs.BaseValidationError):
            continue
    return _CONVERTER.structure(value, last)


def _mapping(value: Any, kind: Any) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    of_keys, of_values = get_args(kind)
    return {
        _CONVERTER.structure(key, of_keys): _CONVERTER.structure(item, of_values)
        for key, item in value.items()
    }


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind in (bool, int, str):
        converter.register_structure_hook(kind, _exact)
    converter.register_structure_hook(float, _number)
    for origins, hook in (
        ((Literal,), _choice),
        ((tuple,), _tuple),
        ((Union, UnionType), _either),
        ((Mapping, dict), _mapping),
    ):
        converter.register_structure_hook_func(
            lambda kind, origins=origins: get_origin(kind) in origins, hook
        )
    return converter


_CONVERTER = _converter()
