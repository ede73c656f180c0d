"""What the program asks of the engine, recorded instead of done, by means of Pulumi's own mocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.proto.resource_pb2 import RegisterResourceResponse

from chatons import collective
from chatons.declaration.resolved import Declaration
from tests.support.declarations import HOST_KEY, declaration

CONTAINER = "docker:index/container:Container"
IMAGE = "docker:index/remoteImage:RemoteImage"
NETWORK = "docker:index/network:Network"
PROVIDER = "pulumi:providers:docker"
VM = "proxmoxve:index/vmLegacy:VmLegacy"
VOLUME = "docker:index/volume:Volume"

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"
"""How the engine's protocol marks a secret. Source: pulumi/pulumi, sdk/go/common/resource/sig/sig.go."""


@dataclass(frozen=True)
class Registered:
    """One resource as the engine was asked to make it.

    Attributes:
        inputs: without the marks of secrets.
        secrets: the paths below `inputs` that are marked as secret.
        request: all options, as in pulumi/pulumi, proto/pulumi/resource.proto.
    """

    type: str
    name: str
    urn: str
    inputs: Mapping[str, Any]
    secrets: frozenset[tuple[str | int, ...]]
    request: Any = field(repr=False)


@dataclass(frozen=True)
class Program:
    """Everything that one run of the program registered, in order."""

    resources: tuple[Registered, ...]

    def of(self, type_: str) -> list[Registered]:
        """All resources of one type."""
        return [resource for resource in self.resources if resource.type == type_]

    def one(self, type_: str, name: str) -> Registered:
        """The resource with a type and a logical name."""
        (found,) = (resource for resource in self.of(type_) if resource.name == name)
        return found

    @property
    def containers(self) -> list[Registered]:
        """All containers."""
        return self.of(CONTAINER)


def secret(key: str) -> str:
    """The value that the secret of a key has in a recorded program: no two are alike."""
    return f"open-sesame-{key}"


def run(declared: Declaration | None = None, secret_keys: Mapping[str, object] | None = None) -> Program:
    """Register what a declaration stands for; without one, a service of every kind."""
    meant = declared or declaration()
    keys = secret_keys or {}

    def make() -> None:
        collective.make(meant, lambda key: pulumi.Output.secret(secret(key)), keys)

    return registered(make, stack=meant.stack)


def registered(make: Callable[[], object], stack: str = "local") -> Program:
    """Run something that registers resources, and wait for them."""
    monitor = _Monitor()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        set_mocks(monitor.mocks, project="ronron", stack=stack, preview=False, monitor=monitor)

        def program() -> None:
            make()

        pulumi.runtime.test(program)()  # type: ignore[no-untyped-call]
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    return Program(tuple(monitor.registered))


class _Nothing(Mocks):
    """The program asks a provider nothing; `_Monitor` answers for resources."""

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"{args.token} was called")

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        raise AssertionError(f"{args.name} was read or made past the recorder")


class _Monitor(MockMonitor):
    """Pulumi's own stand-in for the engine, which keeps each request and gives back what was asked for.

    It answers itself, as the original opens event loops in other threads and never closes them.
    """

    def __init__(self) -> None:
        super().__init__(_Nothing())
        self.registered: list[Registered] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  # a name of the protocol
        """See MockMonitor."""
        urn, id_ = self.make_urn(request.parent, request.type, request.name), f"{request.name}-id"
        if request.type == "pulumi:pulumi:Stack":
            return RegisterResourceResponse(urn=urn)
        state = type(request.object)()
        state.CopyFrom(request.object)
        if request.type == IMAGE:
            state.update({"imageId": f"sha256:{request.name}"})
        if request.type == VM:
            _give_what_the_node_gives(state, request.name)
        elif request.type.endswith(":MachineAccess"):
            state["host_key"] = HOST_KEY
        written = _written(request.object)
        self.registered.append(
            Registered(
                type=request.type,
                name=request.name,
                urn=urn,
                inputs=_clear(written),
                secrets=frozenset(_secrets(written, ())),
                request=request,
            )
        )
        return RegisterResourceResponse(urn=urn, id=id_, object=state)


def _give_what_the_node_gives(state: Any, name: str) -> None:
    """Where the disks of a machine are, and its hardware address, are known only once it is there."""
    for number, disk in enumerate(state["disks"]):
        if "pathInDatastore" not in disk:
            disk["pathInDatastore"] = f"{name}-disk-{number}"
    if "networkDevices" in state:
        state["networkDevices"][0]["macAddress"] = f"BC:24:11:{name}"


def _written(value: Any) -> Any:
    """A structure of the protocol as dictionaries, lists and values."""
    match type(value).__name__:
        case "Struct":
            return {key: _written(inner) for key, inner in value.items()}
        case "ListValue":
            return [_written(inner) for inner in value]
    return value


def _is_secret(value: object) -> bool:
    return isinstance(value, Mapping) and value.get(_SIGNATURE) == _SECRET


def _clear(value: Any) -> Any:
    if _is_secret(value):
        return _clear(value["value"])
    if isinstance(value, Mapping):
        return {key: _clear(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_clear(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _secrets(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if _is_secret(value):
        yield path
        yield from _secrets(value["value"], path)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _secrets(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _secrets(inner, (*path, index))
