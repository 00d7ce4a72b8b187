"""The run-time type checker of the tests: beartype, where a whole number passes for a float."""

from collections.abc import Callable
from typing import TypeVar

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep673Exception

F = TypeVar("F", bound=Callable)

_check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function: F) -> F:
    """Check a function's annotations; some functions stay as they are.

    beartype understands ``Self`` only when it decorates the class, jaxtyping decorates its methods.
    A function within a function would be compiled anew at every call of the outer one, which takes
    milliseconds: a bootstrap calls some a thousand times.
    """
    if "<locals>" in function.__qualname__:
        return function
    try:
        return _check(function)
    except BeartypeDecorHintPep673Exception:
        return function
