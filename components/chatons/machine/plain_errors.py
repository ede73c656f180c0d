"""Errors of our own dynamic resources reach people as messages, not as tracebacks."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Found = TypeVar("Found")

_USUAL_FRAMES = 1000
"""What Python shows unless it is told otherwise."""


def told_plainly(*kinds: type[Exception]) -> Callable[[Callable[Given, Found]], Callable[Given, Found]]:
    """Let a method of a dynamic provider fail with the message alone, where its error is of these kinds.

    Pulumi hands out whatever Python would print of an error, traceback and all, and Python can be told how
    many frames it prints. With RONRON_DEBUG=1 they are all there; errors of other kinds are bugs, and keep
    theirs.
    Source: pulumi/pulumi, sdk/python/lib/pulumi/dynamic/__main__.py, `_abort_with_traceback`.
    """

    def wrap(method: Callable[Given, Found]) -> Callable[Given, Found]:
        @functools.wraps(method)
        def plain(*args: Given.args, **options: Given.kwargs) -> Found:
            sys.tracebacklimit = _USUAL_FRAMES
            try:
                return method(*args, **options)
            except kinds as error:
                if os.environ.get("RONRON_DEBUG") == "1":
                    raise
                sys.tracebacklimit = 0
                raise error from None

        return plain

    return wrap
