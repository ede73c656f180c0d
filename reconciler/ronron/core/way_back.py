"""The way back from a failed revision: what it may release, and whose data it leaves migrated. Pure.

A known state is the last one in which everything was known to be healthy. It is taken after each success and
before each update of such a state. Until an update succeeds again it says what was there before the first
revision that failed. What it has is never released; what it does not have was added since.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import sha256

from ronron.core.inventory import Inventory
from ronron.core.judge import PRECIOUS
from ronron.core.model import DELETING, QUIET, SHORT, Change, Operation, Outcome, Revision, TakenSnapshot
from ronron.core.released import Guarded, Released, RestoredData, UnrestoredData
from ronron.core.value import Instant, Value

MOST = 5000
"""How many resources a known state has at most: a record is one document, and is written often."""
_DIGITS = 16
"""Of the hash of a URN. A known state has hashes: they are short, and no redaction changes them."""

_KINDS: Mapping[str, str] = {
    "docker:index/volume:Volume": "volume",
    **dict.fromkeys(PRECIOUS - {"docker:index/volume:Volume"}, "virtual machine"),
}
_STARTING = frozenset({Operation.CREATE, Operation.CREATE_REPLACEMENT, Operation.UPDATE, Operation.UNKNOWN})
_NEW = frozenset({Operation.CREATE, Operation.IMPORT})
_IMAGE = "image"
"""The property of a container that says what it runs."""


class KnownState(Value):
    """The last state of which everything was known, taken before the update that left it.

    Args:
        at: when it was taken.
        digest: of what the environment depended on then; None where no revision was live.
        resources: hashes of the URNs of all resources; None where they were too many to remember: nothing
            is released then.
        images: the image of each service with data, by its name.
        migrated: services whose image an update changed since: it may have migrated their data.
    """

    at: Instant
    digest: str | None = None
    resources: tuple[str, ...] | None = ()
    images: Mapping[str, str] = {}
    migrated: tuple[str, ...] = ()

    def with_migrated(self, services: Iterable[str]) -> KnownState:
        """The known state with further services whose data may have been migrated."""
        found = tuple(sorted({*self.migrated, *(name for name in services if name in self.images)}))
        return self if found == self.migrated else self.with_(migrated=found)

    def holding(self, urns: Iterable[str]) -> KnownState:
        """The known state with further resources that are never released."""
        if self.resources is None:
            return self
        return self.with_(resources=_bounded({*self.resources, *map(_hash, urns)}))

    def has(self, urn: str) -> bool:
        """Whether a resource was there, as far as anybody knows."""
        return self.resources is None or _hash(urn) in self.resources


class WayBack(Value):
    """A way back that has begun: written before its effects, so that the next process goes on with it.

    Args:
        failed: the revision that failed.
        to: the healthy revision that it leads to.
        message: why the revision failed.
        hint: what a person should do about that.
        restores: the snapshots that are still to be restored.
        restored: what was restored.
    """

    failed: Revision
    to: Revision
    message: str
    hint: str = ""
    restores: tuple[TakenSnapshot, ...] = ()
    restored: tuple[RestoredData, ...] = ()

    def done(self, restored: RestoredData) -> WayBack:
        """The way back after one of its restores."""
        left = tuple(one for one in self.restores if one.service != restored.service)
        return self.with_(restores=left, restored=(*self.restored, restored))


def known_state(
    urns: Iterable[str], inventory: Inventory | None, digest: str | None, at: Instant
) -> KnownState:
    """What is remembered of a stack in which everything is known to be healthy.

    Args:
        urns: of the resources of the state.
        inventory: of the state; None for a project without one.
        digest: of what the environment depends on there.
        at: when the stack was like that.
    """
    services = inventory.services if inventory is not None else {}
    return KnownState(
        at=at,
        digest=digest,
        resources=_bounded({_hash(urn) for urn in urns}),
        images={
            name: service.image
            for name, service in services.items()
            if service.database is not None or service.volumes or service.backup is not None
        },
    )


def existing(changes: Iterable[Change]) -> frozenset[str]:
    """URNs of the resources that a stack has, by the steps of a preview; excluded ones are not among them."""
    return frozenset(change.urn for change in changes if change.operation not in _NEW)


def wanted(changes: Iterable[Change]) -> frozenset[str]:
    """URNs of the resources that a stack has after an update."""
    return frozenset(change.urn for change in changes if change.operation not in DELETING)


# -- releasing -------------------------------------------------------------------------------------


def added(urns: Iterable[str], before: KnownState | None) -> frozenset[str]:
    """Those of some resources that were added after a known state; none where there is no known state."""
    return frozenset(urn for urn in urns if before is not None and not before.has(urn))


def is_retained(resource: Guarded) -> bool:
    """Whether a resource that is released stays in the world: anything that may hold data does."""
    return resource.protected or resource.retained or resource.type in PRECIOUS


def needs_release(resource: Guarded) -> bool:
    """Whether the engine would refuse to delete a resource, or destroy data with it, as the state is."""
    return resource.protected or resource.hooked or (is_retained(resource) and not resource.retained)


def deleted(changes: Iterable[Change]) -> frozenset[str]:
    """URNs of the resources that a plan deletes."""
    return frozenset(change.urn for change in changes if change.operation in DELETING)


def released(resources: Iterable[Guarded]) -> tuple[Released, ...]:
    """What is left in the world of resources that leave the state."""
    return tuple(
        Released(
            name=one.name,
            kind=_KINDS.get(one.type) or one.type.rpartition(":")[2] or "resource",
            id=one.id,
            place=one.place,
        )
        for one in resources
        if is_retained(one)
    )


def released_text(resources: Sequence[Released]) -> str:
    """Half a sentence on what was released; empty for nothing."""
    if not resources:
        return ""
    return f"released what it had added: {', '.join(one.text for one in resources)}"


# -- data that stayed ------------------------------------------------------------------------------


def changed_images(changes: Iterable[Change], inventory: Inventory | None) -> frozenset[str]:
    """Names of the services whose own container is started on another image.

    Args:
        changes: the steps of a plan, or those of them that began.
        inventory: as it was before.
    """
    owner = {
        service.resource: name
        for name, service in (inventory.services.items() if inventory is not None else ())
        if service.resource
    }
    touching = [one for one in changes if one.operation not in QUIET and one.ancestors[:1]]
    other = {one.urn for one in touching if _IMAGE in one.properties}
    return frozenset(
        owner[one.ancestors[0]]
        for one in touching
        if one.urn in other and one.operation in _STARTING and one.ancestors[0] in owner
    )


def other_images(before: KnownState, inventory: Inventory | None) -> frozenset[str]:
    """Names of the services whose image in an inventory is another one than in a known state."""
    services = inventory.services if inventory is not None else {}
    return frozenset(
        name for name, image in before.images.items() if name in services and services[name].image != image
    )


def gone_back(before: KnownState | None, digest: str, inventory: Inventory | None) -> tuple[str, ...]:
    """Names of the services whose code is what it was before a failed update that may have migrated them.

    Args:
        before: the known state; None where there is none.
        digest: of the revision that the stack was brought to.
        inventory: after that; None where the update failed, and only the digest says where the code is.
    """
    if before is None:
        return ()
    if digest == before.digest:
        return before.migrated
    if inventory is None:
        return ()
    others = other_images(before, inventory)
    return tuple(name for name in before.migrated if name in inventory.services and name not in others)


def unrestored_text(data: Sequence[UnrestoredData]) -> str:
    """Half a sentence on data that did not go back; empty for none."""
    if not data:
        return ""
    names = _listed([one.service for one in data])
    return f"the code of {names} went back, the data did not and may have been migrated"


def restore_hint(environment: str, data: Iterable[UnrestoredData | TakenSnapshot]) -> str:
    """The commands that restore the data from before an update; empty where there is no snapshot."""
    commands = []
    for one in data:
        snapshot = one.snapshot if isinstance(one, UnrestoredData) else one.id
        if snapshot:
            commands.append(f"ronron restore {environment} {one.service} --snapshot {snapshot[:SHORT]}")
    if not commands:
        return ""
    return f"to bring back the data from before the update: {' and '.join(commands)}"


def restored_text(data: Sequence[RestoredData]) -> str:
    """Half a sentence on data that went back; empty for none."""
    if not data:
        return ""
    each = [
        f"{one.service} from snapshot {one.snapshot[:SHORT]}"
        + (f" (its data until then is snapshot {one.safety_snapshot[:SHORT]})" if one.safety_snapshot else "")
        for one in data
    ]
    return f"restored {_listed(each)}"


def with_more(outcome: Outcome, said: Iterable[str], hints: Iterable[str] = ()) -> Outcome:
    """The outcome with more half sentences in the first line of its message, and more hints."""
    first, *rest = outcome.message.split("\n")
    return outcome.with_(
        message="\n".join(["; ".join([first, *filter(None, said)]), *rest]),
        hint="; ".join(filter(None, [outcome.hint, *hints])),
    )


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _hash(urn: str) -> str:
    return sha256(urn.encode()).hexdigest()[:_DIGITS]


def _bounded(hashes: Collection[str]) -> tuple[str, ...] | None:
    return tuple(sorted(hashes)) if len(hashes) <= MOST else None
