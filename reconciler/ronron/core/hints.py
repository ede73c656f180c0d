"""Hints name the environment that they are about. Pure.

Adapters do not know environments: they write `ENV` into the commands of their hints, and whoever knows the
environment fills it in before a person reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ronron.core.errors import ReconcilerError

DONE_IS_IN_STATE = "; what was done before the failure is in the state"
"""How a hint ends after an update that failed; it is no longer true after the way back."""
_ENVIRONMENT = re.compile(r"\bENV\b")


def for_environment(text: str, environment: str) -> str:
    """The text with the name of an environment in place of `ENV`."""
    return _ENVIRONMENT.sub(lambda _: environment, text)


@contextmanager
def naming(environment: str) -> Iterator[None]:
    """Name an environment in the hint of every error that the block raises."""
    try:
        yield
    except ReconcilerError as error:
        error.hint = for_environment(error.hint, environment)
        raise
