"""Fields of dataclasses, held to what their annotations say where values enter.

The annotation is the whole rule: ``Literal`` names the choices, ``Annotated[float, Range(…)]`` the
numbers, and a class that calls `check_fields` cannot forget a field.
"""

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import datetime
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from medicane_models.errors import CheckpointError, ConfigurationError, shown
from medicane_models.files import read_json

__all__ = [
    "Count",
    "Positive",
    "Probability",
    "Range",
    "Rate",
    "check_fields",
    "conform",
    "described",
    "from_mapping",
    "json_object",
]

D = TypeVar("D")

NAMES = {
    bool: "true or false",
    datetime: "a time",
    float: "a number",
    int: "a whole number",
    str: "text, trimmed",
}
MOST = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Range:
    """The numbers that an annotated field takes; a bound that is None is none.

    Attributes:
        least: the smallest.
        above: what all exceed.
        most: the largest.
        under: what all stay below.
    """

    least: float | None = None
    above: float | None = None
    most: float | None = None
    under: float | None = None

    def __contains__(self, value: float) -> bool:
        return all(
            bound is None or holds(value, bound)
            for bound, holds in (
                (self.least, operator.ge),
                (self.above, operator.gt),
                (self.most, operator.le),
                (self.under, operator.lt),
            )
        )

    def __str__(self) -> str:
        bounds = {
            "from": self.least,
            "above": self.above,
            "up to": self.most,
            "under": self.under,
        }
        return ", ".join(f"{word} {bound:,}" for word, bound in bounds.items() if bound is not None)


Count = Annotated[int, Range(least=1, most=MOST)]
Positive = Annotated[float, Range(above=0)]
Probability = Annotated[float, Range(above=0, most=1)]
Rate = Annotated[float, Range(least=0, under=1)]


class _UnfitError(Exception):
    """A value is none that the annotation takes."""


def check_fields(instance: Any) -> None:
    """Hold each field of a dataclass to its annotation; for the start of ``__post_init__``.

    What JSON has no form for takes it: lists become tuples, whole numbers floats, texts the whole
    numbers that are keys, mappings dataclasses. A flag is no number, and NaN and infinity are none.

    Raises:
        ConfigurationError: naming the first field that is wrong, its value and what it takes.
    """
    for name, kind in _annotations(type(instance)).items():
        object.__setattr__(instance, name, conform(getattr(instance, name), kind, name))


def conform(value: Any, kind: Any, name: str) -> Any:
    """A value in the form of a type; what `check_fields` does to a field called ``name``."""
    try:
        return _fitting(value, kind)
    except _UnfitError:
        raise ConfigurationError(f"{name} is {shown(value)}; give {described(kind)}") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from None


def from_mapping(kind: type[D], values: Any, *, partial: bool = False) -> D:
    """The dataclass whose fields a mapping holds.

    Args:
        kind: the dataclass.
        values: what a JSON file says.
        partial: whether fields with a default may be absent.

    Raises:
        ConfigurationError: if a key is unknown or absent, or a value wrong.
    """
    what = kind.__name__
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{what} is {shown(values)}; give its fields by name")
    kinds = _annotations(kind)
    known = list(kinds)
    if unknown := [str(key)[:60] for key in values if key not in known]:
        raise ConfigurationError(
            f"unknown setting {', '.join(unknown)} of {what}; known are {', '.join(known)}"
        )
    needed = _required(kind) if partial else known
    if missing := [name for name in needed if name not in values]:
        raise ConfigurationError(f"{what} lacks {', '.join(missing)}; add what was meant")
    return kind(**{name: conform(value, kinds[name], name) for name, value in values.items()})


def json_object(path: Path) -> dict[str, Any]:
    """What a JSON file says by name.

    Raises:
        CheckpointError: if it holds no JSON, or a list or a single value.
    """
    values = read_json(path)
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds {shown(values)}, no JSON object; copy it again")
    return values


def described(kind: Any) -> str:
    """What a type takes, in words."""
    if kind is NoneType:
        return "null"
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return " ".join([described(arguments[0]), *map(str, arguments[1:])])
    if origin is Literal:
        return _listed(map(str, arguments))
    if origin in (Union, UnionType):
        return _listed(map(described, arguments))
    if origin is list:
        return f"a list, each {described(arguments[0])}"
    if origin is tuple:
        length = "" if arguments[-1] is ... else f" of {len(arguments)}"
        return f"a list{length}, each {described(arguments[0])}"
    return NAMES.get(kind, "a mapping")


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


@cache
def _annotations(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}


def _required(kind: type) -> list[str]:
    """Fields without a default."""
    return [
        field.name
        for field in fields(kind)
        if field.default is MISSING and field.default_factory is MISSING
    ]


def _fitting(value: Any, kind: Any) -> Any:
    return _FORMS.get(get_origin(kind) or kind, _instance)(value, kind)


def _instance(value: Any, kind: Any) -> Any:
    if is_dataclass(kind) and isinstance(value, Mapping):
        return from_mapping(cast(type, kind), value)
    return _require(isinstance(value, cast(type, kind)), value)


def _whole(value: Any, _: Any) -> int:
    return int(_require(isinstance(value, Integral) and not isinstance(value, bool), value))


def _number(value: Any, _: Any) -> float:
    _require(isinstance(value, Real) and not isinstance(value, bool), value)
    try:
        number = float(value)
    except OverflowError:
        raise _UnfitError from None
    return _require(math.isfinite(number), number)


def _text(value: Any, _: Any) -> str:
    return _require(isinstance(value, str) and value.strip() == value != "", value)


def _flag(value: Any, _: Any) -> bool:
    return _require(isinstance(value, bool), value)


def _null(value: Any, _: Any) -> None:
    return _require(value is None, value)


def _choice(value: Any, kind: Any) -> Any:
    known = any(type(value) is type(one) and value == one for one in get_args(kind))
    return _require(known, value)


def _ranged(value: Any, kind: Any) -> Any:
    base, *ranges = get_args(kind)
    fitting = _fitting(value, base)
    return _require(all(fitting in one for one in ranges), fitting)


def _sequence(value: Any, kind: Any) -> tuple[Any, ...]:
    _require(isinstance(value, list | tuple), value)
    kinds = get_args(kind)
    if kinds[-1] is ...:
        kinds = kinds[:1] * len(value)
    _require(len(kinds) == len(value), value)
    return tuple(_fitting(item, one) for item, one in zip(value, kinds, strict=True))


def _listing(value: Any, kind: Any) -> list[Any]:
    (one,) = get_args(kind)
    return [_fitting(item, one) for item in _require(isinstance(value, list), value)]


def _either(value: Any, kind: Any) -> Any:
    for one in get_args(kind):
        try:
            return _fitting(value, one)
        except _UnfitError:
            continue
    raise _UnfitError


def _mapping(value: Any, kind: Any) -> dict[Any, Any]:
    _require(isinstance(value, Mapping), value)
    of_keys, of_values = get_args(kind)
    return {
        _fitting(_key(key, of_keys), of_keys): _fitting(item, of_values)
        for key, item in value.items()
    }


def _key(key: Any, kind: Any) -> Any:
    """JSON has only texts for keys."""
    is_number = kind is int and isinstance(key, str) and key.isascii() and key.isdigit()
    return int(key) if is_number else key


def _require(fits: bool, value: Any) -> Any:
    if not fits:
        raise _UnfitError
    return value


_FORMS: Mapping[Any, Callable[[Any, Any], Any]] = {
    Annotated: _ranged,
    Any: lambda value, _: value,
    Literal: _choice,
    Mapping: _mapping,
    NoneType: _null,
    Union: _either,
    UnionType: _either,
    bool: _flag,
    dict: _mapping,
    float: _number,
    int: _whole,
    list: _listing,
    str: _text,
    tuple: _sequence,
}
