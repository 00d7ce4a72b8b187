"""The run-time type checker of the tests: beartype, where a whole number passes for a float."""

from collections.abc import Callable
from typing import TypeVar

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep673Exception

F = TypeVar("F", bound=Callable)

_check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function: F) -> F:
    """Check a function's annotations; one that returns ``Self`` stays as it is.

    beartype understands Self only when it decorates the class, jaxtyping decorates its methods.
    """
    try:
        return _check(function)
    except BeartypeDecorHintPep673Exception:
        return function
