"""A stand-in for the official Proxmox VE plugin of the engine, for tests where that one cannot be had.

It is a provider as the engine runs them: `python -m tests.providers.proxmoxve` serves the engine's protocol.
Its facts are those of `tests/official_proxmox_schema.yaml`, and it talks to the API as the official one does.
It knows the four resources of that table, moves no machine to another node, and is never shipped.

Habits of the official one are kept on purpose: `disks[i].speed` differs for ever unless it is ignored with
its number; a machine that was made or changed and then not finished is kept in the state as it was wanted, so
that only a refresh shows what is missing; and a machine whose id is taken takes over the one that has it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from concurrent import futures
from threading import Event
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.protobuf import any_pb2, empty_pb2, struct_pb2  # type: ignore[import-untyped]
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2
from pulumi.runtime.rpc import UNKNOWN

from tests.providers import virtual_machine
from tests.providers.api import Api, RefusedError
from tests.providers.small_resources import KINDS
from tests.providers.table import RESOURCES, Rows, differences, filled, wrong

VERSION = "8.6.0"
_SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
"""How the engine's protocol marks a secret. Source: pulumi/pulumi, sdk/go/common/resource/sig/sig.go."""
_UPDATE = provider_pb2.PropertyDiff.Kind.UPDATE
_REPLACE = provider_pb2.PropertyDiff.Kind.UPDATE_REPLACE


class StandIn(provider_pb2_grpc.ResourceProviderServicer):
    """The protocol of the engine's plugins, for the resources of the table."""

    def __init__(self) -> None:
        self._api: Api | None = None

    def GetPluginInfo(self, _: Any, __: Any) -> Any:  # noqa: N802  # as all below, a name of the protocol
        return plugin_pb2.PluginInfo(version=VERSION)

    def CheckConfig(self, request: Any, _: Any) -> Any:  # noqa: N802
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, _: Any) -> Any:  # noqa: N802
        changed = plain(request.olds) != plain(request.news)
        kinds = provider_pb2.DiffResponse.DiffChanges
        return provider_pb2.DiffResponse(changes=kinds.DIFF_SOME if changed else kinds.DIFF_NONE)

    def Configure(self, request: Any, _: Any) -> Any:  # noqa: N802
        given = plain(request.args)
        # Of a provider's own inputs all that is no text travels as JSON.
        insecure = str(given.get("insecure", "")).lower() == "true"
        self._api = Api(str(given.get("endpoint")), str(given.get("apiToken")), insecure=insecure)
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Check(self, request: Any, _: Any) -> Any:  # noqa: N802
        failures = [
            provider_pb2.CheckFailure(property=path, reason=reason)
            for path, reason in wrong(plain(request.news), RESOURCES[_type(request)])
        ]
        inputs = _struct(plain(request.news), RESOURCES[_type(request)])
        return provider_pb2.CheckResponse(inputs=inputs, failures=failures)

    def Diff(self, request: Any, _: Any) -> Any:  # noqa: N802
        rows = RESOURCES[_type(request)]
        news = plain(request.news)
        found = differences(plain(request.olds), plain(request.old_inputs), filled(news, rows), rows)
        if _type(request) == virtual_machine.TYPE:
            found.update({f"disks[{index}].speed": False for index in range(len(news.get("disks", [])))})
            if "vmId" in found and str(news.get("vmId")) == request.id:
                del found["vmId"]
        found = {
            path: replaces for path, replaces in found.items() if not _ignored(path, request.ignoreChanges)
        }
        kinds = provider_pb2.DiffResponse.DiffChanges
        return provider_pb2.DiffResponse(
            changes=kinds.DIFF_SOME if found else kinds.DIFF_NONE,
            diffs=sorted({_top(path) for path in found}),
            replaces=sorted({path for path, replaces in found.items() if replaces}),
            hasDetailedDiff=True,
            detailedDiff={
                path: provider_pb2.PropertyDiff(kind=_REPLACE if replaces else _UPDATE)
                for path, replaces in found.items()
            },
        )

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        type_, inputs = _type(request), plain(request.properties)
        rows, api = RESOURCES[type_], self._reach()
        whole = filled(inputs, rows)
        if request.preview:
            unknown = dict.fromkeys(_computed(type_), UNKNOWN)
            return provider_pb2.CreateResponse(properties=_struct({**whole, **unknown}, rows))
        try:
            id_ = (
                virtual_machine.create(api, inputs)
                if type_ == virtual_machine.TYPE
                else KINDS[type_].create(api, whole)
            )
            return provider_pb2.CreateResponse(
                id=id_, properties=_struct(self._read(type_, id_, whole), rows)
            )
        except virtual_machine.HalfMadeError as problem:
            _half_made(context, problem.vm_id, str(problem), inputs, whole, rows)
        except RefusedError as problem:
            _refuse(context, problem)
        return provider_pb2.CreateResponse()

    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        type_, state, id_ = _type(request), plain(request.properties), request.id
        rows = RESOURCES[type_]
        if not state and "/" in id_:
            # How a machine is named that is to be imported: node/id.
            id_ = id_.rsplit("/", 1)[1]
        try:
            now = self._read(type_, id_, state)
        except RefusedError as problem:
            return _refuse(context, problem)
        if now is None:
            return provider_pb2.ReadResponse()
        inputs = plain(request.inputs) if state else {key: value for key, value in now.items() if key in rows}
        return provider_pb2.ReadResponse(id=id_, properties=_struct(now, rows), inputs=_struct(inputs, rows))

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        type_, news, olds = _type(request), plain(request.news), plain(request.olds)
        rows, api = RESOURCES[type_], self._reach()
        whole = filled(news, rows)
        if type_ == virtual_machine.TYPE:
            virtual_machine.keep_hardware(whole, olds)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=_struct({**olds, **whole}, rows))
        try:
            if type_ == virtual_machine.TYPE:
                virtual_machine.update(api, request.id, olds, news)
            else:
                KINDS[type_].update(api, request.id, whole)
            now = self._read(type_, request.id, {**olds, **whole})
            return provider_pb2.UpdateResponse(properties=_struct(now, rows))
        except RefusedError as problem:
            if type_ == virtual_machine.TYPE:
                # The official one keeps what was wanted, as if it had come about.
                _half_made(context, request.id, str(problem), news, {**olds, **whole}, rows)
            return _refuse(context, problem)

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        type_, state = _type(request), plain(request.properties)
        try:
            if type_ == virtual_machine.TYPE:
                virtual_machine.delete(self._reach(), request.id, state)
            else:
                KINDS[type_].delete(self._reach(), request.id, state)
        except RefusedError as problem:
            return _refuse(context, problem)
        return empty_pb2.Empty()

    def Cancel(self, _: Any, __: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def _reach(self) -> Api:
        if self._api is None:
            raise AssertionError("the engine configures a provider before it uses it")
        return self._api

    def _read(self, type_: str, id_: str, state: Mapping[str, Any]) -> dict[str, Any] | None:
        if type_ == virtual_machine.TYPE:
            return virtual_machine.read(self._reach(), id_, state)
        return KINDS[type_].read(self._reach(), id_, state)


def plain(struct: Any) -> dict[str, Any]:
    """A structure of the protocol with whole numbers as such, in clear, and without the engine's own."""
    return {key: value for key, value in _whole(MessageToDict(struct)).items() if not key.startswith("__")}


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, dict) and _SECRET.items() <= value.items():
        return _whole(value["value"])
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items() if each is not None}
    return value


def _struct(state: Mapping[str, Any] | None, rows: Rows) -> Any:
    """A structure of the protocol, with what the provider itself calls secret marked."""
    struct = struct_pb2.Struct()
    struct.update(
        {
            key: {**_SECRET, "value": value} if rows.get(key, {}).get("secret") else value
            for key, value in (state or {}).items()
        }
    )
    return struct


def _type(request: Any) -> str:
    return str(request.urn).split("::")[2].rsplit("$", 1)[-1]


def _computed(type_: str) -> Iterable[str]:
    return virtual_machine.COMPUTED if type_ == virtual_machine.TYPE else KINDS[type_].computed


def _top(path: str) -> str:
    return path.replace("[", ".").split(".")[0]


def _ignored(path: str, ignored: Iterable[str]) -> bool:
    """By its very path, or with what it is within: the official one knows no `[*]` either."""
    return any(path == each or path.startswith((f"{each}.", f"{each}[")) for each in ignored)


def _refuse(context: Any, problem: Exception) -> Any:
    context.set_code(grpc.StatusCode.UNKNOWN)
    context.set_details(str(problem))
    return empty_pb2.Empty()


def _half_made(
    context: Any, id_: str, reason: str, inputs: Mapping[str, Any], state: Mapping[str, Any], rows: Rows
) -> None:
    detail = any_pb2.Any()
    detail.Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=id_, properties=_struct(state, rows), reasons=[reason], inputs=_struct(inputs, rows)
        )
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=reason, details=[detail])
    context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString())])
    context.abort(grpc.StatusCode.UNKNOWN, reason)


def main() -> None:
    """Serve the engine until it ends this process."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(StandIn(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    try:
        Event().wait()
    except KeyboardInterrupt:
        server.stop(0)


if __name__ == "__main__":
    main()
