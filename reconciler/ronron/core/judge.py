"""What we think of a preview. A function of its changes and the policy; the order of rules is the rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set

from ronron.core.model import DELETING, QUIET, REPLACING, Change, Operation, Preview, Verdict, VerdictKind
from ronron.core.policy import Policy, UpdateMode
from ronron.core.words import counted

PRECIOUS = frozenset(
    {
        "docker:index/volume:Volume",
        "proxmoxve:index/vmLegacy:VmLegacy",
        "proxmoxve:index/vm:Vm",
        "proxmoxve:cloned/vm:Vm",
        "proxmoxve:cloned/vmLegacy:VmLegacy",
    }
)
"""Types whose loss is loss of data: deleting or replacing one always needs a person.

Source: tokens of pulumi-docker 5.2.0 and pulumi-proxmoxve 8.6.0.
"""


def judge(
    preview: Preview,
    policy: Policy,
    approvals: Set[str] = frozenset(),
    put_back: Set[str] = frozenset(),
    added: Set[str] = frozenset(),
    removed: Set[str] = frozenset(),
) -> Verdict:
    """Whether what a preview shows may be done: the first rule that holds.

    Args:
        preview: the computed changes.
        policy: `guard` and `update` are used.
        approvals: plan identities to which a person said yes; one lifts NEEDS_APPROVAL and nothing else.
        put_back: URNs of the containers that drifted and are put back as the same revision made them: the
            policy wants exactly that, so they count neither for the guard nor for an approval. Data and
            machines are never among them.
        added: URNs of what a revision that failed has added; its data stay, so its deletion is not counted.
        removed: URNs of the volumes that leave the state because a person asked to remove their service. They
            stay on their machine, so no data is lost, and nothing is deleted that counts.

    Returns:
        A verdict with the changes that caused it.
    """
    touching = [change for change in preview.changes if change.operation not in QUIET]
    if not touching:
        return Verdict(kind=VerdictKind.UNCHANGED, why="nothing would change")

    gone = _distinct(change for change in touching if change.operation in DELETING and _counts(change))
    deleted = tuple(change for change in gone if change.urn not in added)
    replaced = _distinct(change for change in touching if change.operation in REPLACING and _counts(change))
    kept = [change for change in preview.changes if change.operation not in DELETING and _counts(change)]
    if gone and not kept:
        return Verdict(
            kind=VerdictKind.FORBIDDEN,
            why=f"it would delete everything that there is ({counted(len(gone), 'resources')})",
            causes=gone,
        )

    deleted = tuple(change for change in _but(deleted, put_back) if change.urn not in removed)
    replaced = _but(replaced, put_back)
    others = [change for change in touching if change.urn not in put_back or change.type in PRECIOUS]
    approved = preview.identity in approvals
    for rule in (_unknown, _loses_data, _deletes_much, _replaces_much, _by_approval):
        needs = rule(others, deleted, replaced, policy)
        if needs is not None and not approved:
            return needs
    why = f"plan {preview.identity[:12]} was approved" if approved else "the policy allows it"
    if not approved and not any(change.custom for change in others):
        why = "it only puts back what drifted"
    return Verdict(kind=VerdictKind.ALLOWED, why=why, causes=tuple(touching))


Changes = tuple[Change, ...]
Rule = Callable[[list[Change], Changes, Changes, Policy], Verdict | None]


def _unknown(touching: list[Change], deleted: Changes, replaced: Changes, policy: Policy) -> Verdict | None:
    del deleted, replaced, policy
    strange = tuple(change for change in touching if change.operation is Operation.UNKNOWN)
    words = ", ".join(sorted({change.original or "unknown" for change in strange}))
    return _needs(f"the engine named operations that are not known here: {words}", strange)


def _loses_data(
    touching: list[Change], deleted: Changes, replaced: Changes, policy: Policy
) -> Verdict | None:
    del touching, policy
    lost = tuple(change for change in (*deleted, *replaced) if change.type in PRECIOUS)
    return _needs(f"it would delete or replace data: {_names(lost)}", lost)


def _deletes_much(
    touching: list[Change], deleted: Changes, replaced: Changes, policy: Policy
) -> Verdict | None:
    del touching, replaced
    limit = policy.guard.deletes
    if limit is None or len(deleted) <= limit:
        return None
    return _needs(f"it would delete {counted(len(deleted), 'resources')}, the guard allows {limit}", deleted)


def _replaces_much(
    touching: list[Change], deleted: Changes, replaced: Changes, policy: Policy
) -> Verdict | None:
    del touching, deleted
    limit = policy.guard.replaces
    if limit is None or len(replaced) <= limit:
        return None
    return _needs(
        f"it would replace {counted(len(replaced), 'resources')}, the guard allows {limit}", replaced
    )


def _by_approval(
    touching: list[Change], deleted: Changes, replaced: Changes, policy: Policy
) -> Verdict | None:
    del deleted, replaced
    if policy.update is not UpdateMode.APPROVAL:
        return None
    return _needs("every update of this environment needs an approval", tuple(touching))


def _needs(why: str, causes: Changes) -> Verdict | None:
    return Verdict(kind=VerdictKind.NEEDS_APPROVAL, why=why, causes=causes) if causes else None


def _counts(change: Change) -> bool:
    # Components and providers are bookkeeping: nothing in the world goes away with them.
    return change.custom and not change.type.startswith("pulumi:")


def _but(changes: Changes, put_back: Set[str]) -> Changes:
    return tuple(change for change in changes if change.urn not in put_back or change.type in PRECIOUS)


def _distinct(changes: Iterable[Change]) -> Changes:
    # A replacement is up to three steps of one resource; it is counted once.
    return tuple({change.urn: change for change in changes}.values())


def _names(changes: Changes) -> str:
    shown = [change.name for change in changes[:5]]
    more = len(changes) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
