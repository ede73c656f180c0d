"""Errors of our dynamic resources, shown to people as a message without a traceback."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_DEFAULT_FRAMES = 1000
"""How many frames Python prints by default."""


def without_traceback(
    *kinds: type[Exception],
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Decorate a method of a dynamic provider so that an error of these kinds is shown as its message only.

    Pulumi prints an error exactly as Python would, with the traceback, so the decorator limits the number of
    frames that Python prints. RONRON_DEBUG=1 brings the traceback back. An error of another kind is a defect
    and keeps its traceback.
    Source: pulumi/pulumi, sdk/python/lib/pulumi/dynamic/__main__.py, `_abort_with_traceback`.
    """

    def wrap(method: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @functools.wraps(method)
        def limited(*args: Parameters.args, **options: Parameters.kwargs) -> Result:
            sys.tracebacklimit = _DEFAULT_FRAMES
            try:
                return method(*args, **options)
            except kinds as error:
                if os.environ.get("RONRON_DEBUG") == "1":
                    raise
                sys.tracebacklimit = 0
                raise error from None

        return limited

    return wrap
