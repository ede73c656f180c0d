"""The first contact with a machine: it is waited for, and from then on it is known by its host key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult

from chatons.machine.remote import (
    Deadline,
    MachineError,
    Reached,
    await_key,
    await_login,
    key_changed,
    shown_key,
)
from chatons.machine.tracebacks import without_traceback

_NEW_SECONDS = 600.0
"""A machine starts within one minute on a fast disk; an image that is still copied, or a file system that is
grown and checked first, has been seen to take several."""
_KNOWN_SECONDS = 120.0
"""Of one that was there already: as long as a restart."""

_DECIDE = ("machine", "address", "port", "user", "declared_key", "identity")
"""Inputs that are looked at; the engine adds one of its own."""

Props = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class MachineAccessArgs:
    """Arguments of a MachineAccess."""

    address: pulumi.Input[str]
    """An IP."""
    port: int
    user: str
    host_key: str | None
    """The declared one, as `ssh-ed25519 AAAA...`; None: that of the first contact is pinned."""
    identity: pulumi.Input[str]
    """Another one when the machine was made anew, and may show another key."""


class AccessProvider(ResourceProvider):
    """What is done for a MachineAccess. Keeps nothing: the state refers to this class by name."""

    serialize_as_secret_always = False

    @without_traceback(MachineError)
    def create(self, props: dict[str, Any]) -> CreateResult:
        """Wait for the machine, and pin its key."""
        return CreateResult(Reached.of(props).address, outs=first_contact(props, None, _NEW_SECONDS))

    @without_traceback(MachineError)
    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """What differs; where nothing does, the key that is shown has to be the pinned one.

        A machine that does not answer is no change: it is found out by what has to be done there.
        """
        if any(olds.get(key) != news.get(key) for key in _DECIDE):
            return DiffResult(changes=True, replaces=[])
        reached, pinned = Reached.of(olds), str(olds["host_key"])
        shown = shown_key(reached)
        if shown is not None and shown != pinned:
            raise key_changed(reached, pinned, shown, declared=news.get("declared_key") is not None)
        return DiffResult(changes=False, replaces=[])

    @without_traceback(MachineError)
    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Look again: the pinned key still counts, unless the machine is another one."""
        same = olds.get("identity") == news.get("identity")
        pinned = str(olds["host_key"]) if same else None
        return UpdateResult(
            outs=first_contact(news, pinned, _KNOWN_SECONDS if same else _NEW_SECONDS),
        )


def first_contact(props: Props, pinned: str | None, seconds: float) -> dict[str, Any]:
    """Wait for the machine until it lets the user in.

    Args:
        props: inputs of the resource.
        pinned: the key that it showed before; a declared one goes before it.
        seconds: how long to wait.

    Returns:
        What the state keeps.

    Raises:
        MachineError: it does not come, or shows another key.
    """
    reached, deadline = Reached.of(props), Deadline(seconds)
    declared = props.get("declared_key")
    expected = declared or pinned
    shown = await_key(reached, deadline)
    if expected is not None and shown != expected:
        raise key_changed(reached, expected, shown, declared=declared is not None)
    await_login(reached, shown, deadline)
    return {**{key: props.get(key) for key in _DECIDE}, "host_key": shown}


class MachineAccess(Resource, module="chatons", name="MachineAccess"):
    """A machine that answers by ssh, and by which key it is known."""

    host_key: pulumi.Output[str]
    """As `ssh-ed25519 AAAA...`."""

    def __init__(
        self, name: str, args: MachineAccessArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        props = {
            "machine": name,
            "address": args.address,
            "port": args.port,
            "user": args.user,
            "declared_key": args.host_key,
            "identity": args.identity,
            "host_key": None,
        }
        super().__init__(AccessProvider(), name, props, opts)
