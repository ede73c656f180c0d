"""The first contact with a machine: wait until ssh works, then pin its host key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult

from chatons.machine.remote import (
    Deadline,
    MachineError,
    RemoteMachine,
    current_host_key,
    host_key_changed,
    wait_for_host_key,
    wait_for_login,
)
from chatons.machine.tracebacks import without_traceback

_NEW_SECONDS = 600.0
"""For a new machine. It starts within one minute on a fast disk; copying the image, or growing and checking
the file system, can take several minutes."""
_KNOWN_SECONDS = 120.0
"""For an existing machine: the time of a restart."""

_COMPARED = ("machine", "address", "port", "user", "declared_key", "identity")
"""Inputs that `diff` compares. The engine adds an input of its own."""

Props = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class MachineAccessArgs:
    """Arguments of a MachineAccess."""

    address: pulumi.Input[str]
    """IP address."""
    port: int
    user: str
    host_key: str | None
    """The declared host key, as `ssh-ed25519 AAAA...`; None pins the key of the first contact."""
    identity: pulumi.Input[str]
    """Changes when the machine is replaced: a new machine may have a new host key."""


class AccessProvider(ResourceProvider):
    """The provider of MachineAccess. It has no attributes: the state refers to this class by name."""

    serialize_as_secret_always = False

    @without_traceback(MachineError)
    def create(self, props: dict[str, Any]) -> CreateResult:
        """Wait for the machine and pin its host key."""
        return CreateResult(RemoteMachine.of(props).address, outs=first_contact(props, None, _NEW_SECONDS))

    @without_traceback(MachineError)
    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Compare the inputs; when they are equal, also compare the current host key with the pinned one.

        An unreachable machine is not a change: whatever has to be done on it reports the error.

        Raises:
            MachineError: the machine has another host key than the pinned one.
        """
        if any(olds.get(key) != news.get(key) for key in _COMPARED):
            return DiffResult(changes=True, replaces=[])
        machine, pinned = RemoteMachine.of(olds), str(olds["host_key"])
        current = current_host_key(machine)
        if current is not None and current != pinned:
            raise host_key_changed(machine, pinned, current, declared=news.get("declared_key") is not None)
        return DiffResult(changes=False, replaces=[])

    @without_traceback(MachineError)
    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Contact the machine again. The pinned host key stays valid unless the machine was replaced."""
        same = olds.get("identity") == news.get("identity")
        pinned = str(olds["host_key"]) if same else None
        return UpdateResult(
            outs=first_contact(news, pinned, _KNOWN_SECONDS if same else _NEW_SECONDS),
        )


def first_contact(props: Props, pinned: str | None, seconds: float) -> dict[str, Any]:
    """Wait until the user can log in to the machine.

    Args:
        props: inputs of the resource.
        pinned: the host key of an earlier contact; a declared host key takes precedence.
        seconds: how long to wait.

    Returns:
        The outputs for the state.

    Raises:
        MachineError: the machine is unreachable, refuses the login, or has another host key.
    """
    machine, deadline = RemoteMachine.of(props), Deadline(seconds)
    declared = props.get("declared_key")
    expected = declared or pinned
    current = wait_for_host_key(machine, deadline)
    if expected is not None and current != expected:
        raise host_key_changed(machine, expected, current, declared=declared is not None)
    wait_for_login(machine, current, deadline)
    return {**{key: props.get(key) for key in _COMPARED}, "host_key": current}


class MachineAccess(Resource, module="chatons", name="MachineAccess"):
    """A machine that can be reached by ssh, with its host key."""

    host_key: pulumi.Output[str]
    """The pinned host key, as `ssh-ed25519 AAAA...`."""

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
