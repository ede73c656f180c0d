"""Reads an exported state. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator

from ronron.adapters.pulumi_engine.events import STACK_TYPE, belongs_to_pulumi, public_outputs
from ronron.core.containers import MadeContainer
from ronron.core.errors import EngineError
from ronron.core.judge import PRECIOUS
from ronron.core.model import DELETING, Change, Operation, StackState
from ronron.core.released import Guarded
from ronron.core.urns import name_of, provider_name

INVENTORY = "inventory"
"""The stack output that is read."""

_PROVIDERS = "pulumi:providers:"
_CONTAINER = "docker:index/container:Container"
_IMAGE = "docker:index/remoteImage:RemoteImage"
_NETWORK = "docker:index/network:Network"
_VOLUME = "docker:index/volume:Volume"

_BEFORE_DELETE = "BeforeDelete"
_DELETE_HOOKS = frozenset({_BEFORE_DELETE, "AfterDelete"})
"""Keys of `resourceHooks`. Source: pulumi sdk/go/common/resource/resource_hooks.go, 3.274.1."""

_CREATING = frozenset({Operation.CREATE, Operation.CREATE_REPLACEMENT, Operation.IMPORT})


class ExportedState:
    """What `pulumi stack export` gives: a versioned JSON document around one `deployment`.

    Secrets in it stay encrypted.

    Raises:
        EngineError: it is not such a document.
    """

    def __init__(self, text: str) -> None:
        try:
            self._document = json.loads(text)
            deployment = self._document["deployment"] or {}
            self._resources = _objects(deployment.get("resources"))
            self._pending = _objects(deployment.get("pending_operations"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EngineError(
                "cannot read the exported state",
                hint="restore its last backup: in a file backend, the file of that name that ends in `.bak`",
            ) from error

    def stack(self) -> StackState:
        """The state as the port gives it."""
        return StackState(
            exists=True,
            pending=tuple(
                f"{one.get('type') or 'unknown'} {_urn(one.get('resource'))}" for one in self._pending
            ),
            inventory=self._outputs().get(INVENTORY),
            guarded=tuple(self._guarded()),
            containers=self.containers(),
        )

    def containers(self) -> tuple[MadeContainer, ...]:
        """The Docker containers, in the order of the state."""
        present = [one for one in self._resources if not _is_leaving(one) and one.get("custom")]
        volumes = {str(_outputs(one).get("name")) for one in present if _type(one) == _VOLUME}
        networks = {str(_outputs(one).get("name")) for one in present if _type(one) == _NETWORK}
        return tuple(
            MadeContainer(
                urn=_urn(one),
                name=str(outputs.get("name") or ""),
                id=str(one.get("id") or ""),
                machine=_machine(one),
                modified=str(one.get("modified") or one.get("created") or ""),
                # Its default. A refresh writes false into the outputs of one that has stopped.
                must_run=_inputs(one).get("mustRun") is not False,
                volumes=_named(outputs.get("volumes"), "volumeName", volumes),
                networks=_named(outputs.get("networksAdvanced"), "name", networks),
                image=str(outputs.get("image") or ""),
            )
            for one in present
            if _type(one) == _CONTAINER and one.get("id")
            for outputs in [_outputs(one)]
        )

    def releasing(self, retain: Collection[str], remove: Collection[str]) -> str | None:
        """The document with some resources ready to leave the state; None where they already are.

        Args:
            retain: URNs of those that stay in the world.
            remove: URNs of those that are deleted.
        """
        changed = False
        for one in self._resources:
            if _is_leaving(one) or _urn(one) not in {*retain, *remove}:
                continue
            before = dict(one)
            hooks = {key: names for key, names in _hooks(one).items() if key not in _DELETE_HOOKS}
            if hooks:
                one["resourceHooks"] = hooks
            else:
                one.pop("resourceHooks", None)
            if _urn(one) in retain:
                one.pop("protect", None)
                one["retainOnDelete"] = True
            changed = changed or one != before
        return json.dumps(self._document) if changed else None

    def _guarded(self) -> Iterator[Guarded]:
        for one in self._resources:
            if not one.get("custom") or _is_leaving(one) or one.get("external"):
                continue
            found = Guarded(
                urn=_urn(one),
                id=str(one.get("id") or ""),
                place=_place(one),
                protected=bool(one.get("protect")),
                retained=bool(one.get("retainOnDelete")),
                hooked=bool(_hooks(one).get(_BEFORE_DELETE)),
            )
            if found.protected or found.retained or found.hooked or found.type in PRECIOUS:
                yield found

    @property
    def is_empty(self) -> bool:
        """Whether it has no resources but Pulumi's own."""
        return not self._pending and all(belongs_to_pulumi(_type(one)) for one in self._resources)

    def identities(self) -> frozenset[tuple[str, str]]:
        """URN and provider ID of every resource; times and encrypted values do not count."""
        return frozenset((_urn(one), str(one.get("id") or "")) for one in self._resources)

    def providers_of(self, machine: str) -> tuple[str, ...]:
        """URNs of the providers named after a machine; everything on it goes through them."""
        return tuple(
            _urn(one)
            for one in self._resources
            if not _is_leaving(one) and _type(one).startswith(_PROVIDERS) and name_of(_urn(one)) == machine
        )

    def beneath_containers(self, machines: Collection[str]) -> tuple[str, ...]:
        """URNs of the networks and images on some machines, by the names of their providers."""
        return tuple(
            _urn(one)
            for one in self._resources
            if _type(one) in {_NETWORK, _IMAGE}
            and one.get("custom")
            and not _is_leaving(one)
            and _machine(one) in machines
        )

    def retained_below(self, components: Collection[str]) -> tuple[str, ...]:
        """URNs of the protected resources below some components that stay in the world when they leave it."""
        parents = {_urn(one): str(one.get("parent") or "") for one in self._resources}

        def above(urn: str) -> Iterator[str]:
            while urn := parents.get(urn, ""):
                yield urn

        return tuple(
            _urn(one)
            for one in self._resources
            if one.get("protect")
            and one.get("retainOnDelete")
            and not _is_leaving(one)
            and not set(components).isdisjoint(above(_urn(one)))
        )

    def init_errors(self, but_on: Collection[str] = ()) -> tuple[str, ...]:
        """URNs of the resources with init errors: an update began them and did not finish them.

        Args:
            but_on: names of machines. Resources with such a name, below a component with it, or of a
                provider with it, are skipped.
        """
        parents = {_urn(one): str(one.get("parent") or "") for one in self._resources}

        def names(one: dict[str, object]) -> Iterator[str]:
            yield _machine(one)
            urn = _urn(one)
            while urn:
                yield name_of(urn)
                urn = parents.get(urn, "")

        return tuple(
            _urn(one)
            for one in self._resources
            if one.get("initErrors") and not _is_leaving(one) and not set(names(one)) & set(but_on)
        )

    def agrees(self, done: Iterable[Change]) -> bool:
        """Whether it agrees with the steps of an update: created resources exist, deleted ones do not."""
        there = {_urn(one) for one in self._resources if not _is_leaving(one)}
        last = {change.urn: change.operation for change in done}
        return all(urn in there for urn, operation in last.items() if operation in _CREATING) and not any(
            urn in there for urn, operation in last.items() if operation in DELETING
        )

    def _outputs(self) -> dict[str, object]:
        for one in self._resources:
            if _type(one) == STACK_TYPE:
                return public_outputs(one.get("outputs"))
        return {}


def _objects(value: object) -> list[dict[str, object]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _named(parts: object, key: str, known: Collection[str]) -> tuple[str, ...]:
    """The known names that parts of a container have, sorted."""
    return tuple(sorted({str(one.get(key)) for one in _objects(parts)} & set(known)))


def _machine(resource: dict[str, object]) -> str:
    """The name of its provider."""
    return provider_name(str(resource.get("provider") or ""))


def _inputs(resource: dict[str, object]) -> dict[str, object]:
    found = resource.get("inputs")
    return found if isinstance(found, dict) else {}


def _outputs(resource: dict[str, object]) -> dict[str, object]:
    found = resource.get("outputs")
    return found if isinstance(found, dict) else {}


def _type(resource: dict[str, object]) -> str:
    return str(resource.get("type") or "")


def _urn(resource: object) -> str:
    return str(resource.get("urn") or "unknown") if isinstance(resource, dict) else "unknown"


def _place(resource: dict[str, object]) -> str:
    """The node of a cluster that has it, or the name of its provider."""
    inputs = resource.get("inputs")
    node = inputs.get("nodeName") if isinstance(inputs, dict) else None
    if isinstance(node, str):
        return node
    return _machine(resource)


def _hooks(resource: dict[str, object]) -> dict[str, object]:
    hooks = resource.get("resourceHooks")
    return hooks if isinstance(hooks, dict) else {}


def _is_leaving(resource: dict[str, object]) -> bool:
    """Whether it is the old resource of a replacement, which is still to be deleted."""
    return bool(resource.get("delete"))
