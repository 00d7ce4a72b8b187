"""Strictly from YAML's values to dataclasses: no text for numbers, no numbers for flags."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import cattrs
from cattrs.errors import ClassValidationError

from medicane_models.errors import ConfigurationError
from medicane_models.network.configuration import MedicaneConfig
from medicane_training.recipes.kinds import Recipe

__all__ = ["WrongValueError", "structured"]

R = TypeVar("R", bound=Recipe)

NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


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
    types: dict[str, Any] = {item.name: item.type for item in fields(MedicaneConfig)}
    typed = dict(changes)
    for name in changes.keys() & types.keys():
        try:
            typed[name] = _CONVERTER.structure(changes[name], types[name])
        except (TypeError, ValueError, cattrs.BaseValidationError):
            keys = ("model", "changes", name)
            raise _wrong({"model": {"changes": changes}}, keys, types[name]) from None
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
    return WrongValueError(f"{'.'.join(keys)} is {values!r}; give {_described(wanted)}", keys)


def _described(kind: Any) -> str:
    """What a type takes, in words."""
    if kind is NoneType:
        return "null"
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _listed(map(str, arguments))
    if origin in (Union, UnionType):
        return _listed(map(_described, arguments))
    if origin is tuple:
        length = "" if arguments[-1] is ... else f" of {len(arguments)}"
        return f"a list{length}, each {_described(arguments[0])}"
    return NAMES.get(kind, "a mapping")


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _exact(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError
    return value


def _number(value: Any, kind: type) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise TypeError
    return float(value)


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
