"""Commands of Pulumi in messages, as the reader types them: by `ronron pulumi` where the reconciler runs."""

from __future__ import annotations

import os

ENVIRONMENT = "RONRON_ENVIRONMENT"
"""Variable of the reconciler: the environment that the program runs for."""
ENVIRONMENTS = "RONRON_ENVIRONMENTS"
"""Variable of `ronron validate`: `stack=environment` for each stack, separated by commas."""


def pulumi_command(words: str, *, stack: str = "", before: str = "") -> str:
    """A command of Pulumi on the stack that a message is about.

    Args:
        words: the command with its options, such as `up --refresh`.
        stack: the stack's name; empty where it is the one that the program runs for.
        before: variables before it, such as `RONRON_EXCLUDE=pica02`.
    """
    environment = _environment(stack)
    if environment:
        command = f"ronron pulumi {environment} -- {words}"
    else:
        name, _, rest = words.partition(" < ")
        command = f"pulumi {name} --stack {stack}" if stack else f"pulumi {name}"
        command += f" < {rest}" if rest else ""
    return f"{before} {command}" if before else command


def _environment(stack: str) -> str:
    pairs = (pair.partition("=") for pair in os.environ.get(ENVIRONMENTS, "").split(","))
    named = {name: environment for name, _, environment in pairs if environment}
    return named.get(stack) or os.environ.get(ENVIRONMENT, "")
