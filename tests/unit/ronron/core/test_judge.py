"""Each rule of `judge`, in its order, with rows on both sides of every boundary."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronron.core.judge import PRECIOUS, judge
from ronron.core.model import DELETING, QUIET, REPLACING, Change, Operation, Preview, Verdict, VerdictKind
from ronron.core.policy import Guard, Policy, UpdateMode
from tests.support.values import CONTAINER, OTHER_PLAN, PLAN, PRODUCTION, VOLUME, change, preview

UNCHANGED = VerdictKind.UNCHANGED
ALLOWED = VerdictKind.ALLOWED
NEEDS_APPROVAL = VerdictKind.NEEDS_APPROVAL
FORBIDDEN = VerdictKind.FORBIDDEN

VM = "proxmoxve:index/vmLegacy:VmLegacy"
MACHINE = "chatons:index:VirtualMachine"
STACK = "pulumi:pulumi:Stack"
PROVIDER = "pulumi:providers:docker"
COMPONENT = "ronron:components:Service"

GUARDED = PRODUCTION.with_(guard=Guard(deletes=1, replaces=1))
CLOSED = PRODUCTION.with_(guard=Guard(deletes=0, replaces=0))
ASKING = PRODUCTION.with_(update=UpdateMode.APPROVAL)

SAME = change(Operation.SAME, "kept")


def component(operation: Operation, name: str = "pad") -> Change:
    return change(operation, name, COMPONENT, custom=False)


def replacement(name: str, kind: str = CONTAINER) -> tuple[Change, ...]:
    """The three steps of one replaced resource."""
    operations = (Operation.CREATE_REPLACEMENT, Operation.REPLACE, Operation.DELETE_REPLACED)
    return tuple(change(operation, name, kind) for operation in operations)


def strange(original: str, name: str = "pad") -> Change:
    return change(Operation.UNKNOWN, name, original=original)


@dataclass(frozen=True)
class Row:
    """One call of `judge`, and the verdict that it has to give."""

    kind: VerdictKind
    changes: tuple[Change, ...]
    policy: Policy = PRODUCTION
    approvals: Set[str] = frozenset()
    put_back: Set[str] = frozenset()
    added: Set[str] = frozenset()

    def judge(self) -> Verdict:
        added = {one.urn for one in self.changes if one.name in self.added}
        return judge(preview(*self.changes), self.policy, self.approvals, self.put_back, added)


PAD_URN, FILES_URN = change().urn, change(Operation.UPDATE, "pad-files", VOLUME).urn

ROWS: dict[str, Row] = {
    # -- what drifted is put back
    "put back, whatever the guard allows": Row(
        ALLOWED, (*replacement("pad"), SAME), CLOSED, put_back={PAD_URN}
    ),
    "put back where every update needs an approval": Row(
        ALLOWED, (*replacement("pad"), SAME), ASKING, put_back={PAD_URN}
    ),
    "put back, and another one replaced": Row(
        NEEDS_APPROVAL, (*replacement("pad"), *replacement("wiki")), CLOSED, put_back={PAD_URN}
    ),
    "put back, and another one changed by approval": Row(
        NEEDS_APPROVAL, (*replacement("pad"), change(Operation.UPDATE, "wiki")), ASKING, put_back={PAD_URN}
    ),
    "data is never only put back": Row(
        NEEDS_APPROVAL, (*replacement("pad-files", VOLUME), SAME), put_back={FILES_URN}
    ),
    "the same, not put back": Row(NEEDS_APPROVAL, (*replacement("pad"), SAME), CLOSED),
    # -- nothing would change
    "nothing there": Row(UNCHANGED, ()),
    "everything the same": Row(UNCHANGED, (SAME, change(Operation.SAME, "pad"))),
    "only looked at": Row(UNCHANGED, (change(Operation.READ), change(Operation.REFRESH, "wiki"))),
    "everything the same, by approval": Row(UNCHANGED, (SAME,), ASKING),
    "everything the same, and approved": Row(UNCHANGED, (SAME,), ASKING, {PLAN}),
    # -- nothing would be left
    "the last resource deleted": Row(FORBIDDEN, (change(Operation.DELETE),)),
    "the last resource deleted, and approved": Row(FORBIDDEN, (change(Operation.DELETE),), approvals={PLAN}),
    "all deleted, whatever the guard allows": Row(
        FORBIDDEN,
        (change(Operation.DELETE), change(Operation.DELETE, "wiki")),
        PRODUCTION.with_(guard=Guard(deletes=100)),
    ),
    "all deleted or forgotten": Row(FORBIDDEN, (change(Operation.DELETE), change(Operation.DISCARD, "wiki"))),
    "all deleted but what is no resource of its own": Row(
        FORBIDDEN,
        (
            change(Operation.SAME, "picasoft-production", STACK, custom=False),
            component(Operation.SAME),
            change(Operation.SAME, "default", PROVIDER),
            change(Operation.DELETE),
        ),
    ),
    "all deleted but what has just been made": Row(
        ALLOWED, (change(Operation.DELETE), change(Operation.CREATE, "wiki"))
    ),
    "all deleted, and added by a revision that failed": Row(
        FORBIDDEN, (change(Operation.DELETE, "data", VOLUME),), added={"data"}
    ),
    "data added by a revision that failed": Row(
        ALLOWED, (change(Operation.DELETE, "data", VOLUME), SAME), CLOSED, added={"data"}
    ),
    "data added by a revision that failed, and other data": Row(
        NEEDS_APPROVAL,
        (change(Operation.DELETE, "data", VOLUME), change(Operation.DELETE, "old", VOLUME), SAME),
        added={"data"},
    ),
    "data added by a revision that failed, and replaced": Row(
        NEEDS_APPROVAL, (*replacement("data", VOLUME), SAME), added={"data"}
    ),
    "what a revision that failed added, by approval": Row(
        NEEDS_APPROVAL, (change(Operation.DELETE), SAME), ASKING, added={"pad"}
    ),
    "all deleted but one": Row(ALLOWED, (change(Operation.DELETE), SAME)),
    "all deleted but one that is replaced": Row(ALLOWED, (change(Operation.DELETE), *replacement("wiki"))),
    "all deleted but one that nobody understands": Row(
        NEEDS_APPROVAL, (change(Operation.DELETE), strange("transmute", "wiki"))
    ),
    "only bookkeeping deleted": Row(
        ALLOWED, (component(Operation.DELETE), change(Operation.DELETE, "default", PROVIDER))
    ),
    # -- what is not understood
    "an unknown operation": Row(NEEDS_APPROVAL, (SAME, strange("transmute"))),
    "an unknown operation on a component": Row(
        NEEDS_APPROVAL,
        (SAME, change(Operation.UNKNOWN, "pad", COMPONENT, custom=False, original="transmute")),
    ),
    "an unknown operation, and approved": Row(ALLOWED, (SAME, strange("transmute")), approvals={PLAN}),
    "an unknown operation, and another plan approved": Row(
        NEEDS_APPROVAL, (SAME, strange("transmute")), approvals={OTHER_PLAN}
    ),
    # -- data
    "a volume made": Row(ALLOWED, (change(Operation.CREATE, "pad-files", VOLUME),)),
    "a volume updated": Row(ALLOWED, (change(Operation.UPDATE, "pad-files", VOLUME),)),
    "a volume imported": Row(ALLOWED, (change(Operation.IMPORT, "pad-files", VOLUME),)),
    "a volume deleted": Row(NEEDS_APPROVAL, (SAME, change(Operation.DELETE, "pad-files", VOLUME))),
    "a volume deleted, whatever the guard allows": Row(
        NEEDS_APPROVAL,
        (SAME, change(Operation.DELETE, "pad-files", VOLUME)),
        PRODUCTION.with_(guard=Guard(deletes=100, replaces=100)),
    ),
    "a volume deleted, and approved": Row(
        ALLOWED, (SAME, change(Operation.DELETE, "pad-files", VOLUME)), approvals={PLAN}
    ),
    "a volume of a service replaced": Row(
        NEEDS_APPROVAL,
        (SAME, change(Operation.REPLACE, "pad-files", f"{COMPONENT}${VOLUME}")),
    ),
    "a machine deleted": Row(NEEDS_APPROVAL, (SAME, change(Operation.DELETE, "pica01", VM))),
    "a machine replaced": Row(NEEDS_APPROVAL, (SAME, *replacement("pica01", VM))),
    "the owner of a data disk deleted, whatever the guard allows": Row(
        NEEDS_APPROVAL,
        (SAME, change(Operation.DELETE, "pica01-data", f"{MACHINE}${VM}")),
        PRODUCTION.with_(guard=Guard(deletes=100, replaces=100)),
    ),
    "a machine of a component replaced, whatever the guard allows": Row(
        NEEDS_APPROVAL,
        (SAME, *replacement("pica01", f"{MACHINE}${VM}")),
        PRODUCTION.with_(guard=Guard(deletes=100, replaces=100)),
    ),
    "a machine changed in place": Row(
        ALLOWED, (SAME, change(Operation.UPDATE, "pica01", f"{MACHINE}${VM}")), GUARDED
    ),
    "the image of a machine replaced": Row(
        ALLOWED, (SAME, *replacement("debian", "proxmoxve:download/file:File"))
    ),
    # -- how much is deleted
    "deletes without a guard": Row(
        ALLOWED, (SAME, *(change(Operation.DELETE, str(number)) for number in range(50)))
    ),
    "as many deletes as the guard allows": Row(ALLOWED, (SAME, change(Operation.DELETE, "a")), GUARDED),
    "one delete too many": Row(
        NEEDS_APPROVAL, (SAME, change(Operation.DELETE, "a"), change(Operation.DELETE, "b")), GUARDED
    ),
    "one delete too many, and approved": Row(
        ALLOWED,
        (SAME, change(Operation.DELETE, "a"), change(Operation.DELETE, "b")),
        GUARDED,
        {PLAN, OTHER_PLAN},
    ),
    "a delete where none is allowed": Row(NEEDS_APPROVAL, (SAME, change(Operation.DELETE)), CLOSED),
    "the same delete twice": Row(
        ALLOWED, (SAME, change(Operation.DELETE), change(Operation.DELETE)), GUARDED
    ),
    "components and providers deleted": Row(
        ALLOWED,
        (SAME, component(Operation.DELETE), change(Operation.DELETE, "default", PROVIDER)),
        CLOSED,
    ),
    "the parts of replacements are no deletes": Row(
        ALLOWED, (SAME, *replacement("pad")), PRODUCTION.with_(guard=Guard(deletes=0))
    ),
    # -- how much is replaced
    "replacements without a guard": Row(
        ALLOWED, tuple(step for number in range(50) for step in replacement(str(number)))
    ),
    "as many replacements as the guard allows": Row(ALLOWED, (SAME, *replacement("a")), GUARDED),
    "one replacement too many": Row(NEEDS_APPROVAL, (SAME, *replacement("a"), *replacement("b")), GUARDED),
    "one replacement too many, and approved": Row(
        ALLOWED, (SAME, *replacement("a"), *replacement("b")), GUARDED, {PLAN}
    ),
    "a replacement where none is allowed": Row(NEEDS_APPROVAL, (SAME, *replacement("pad")), CLOSED),
    "components and providers replaced": Row(
        ALLOWED,
        (SAME, component(Operation.REPLACE), change(Operation.REPLACE, "default", PROVIDER)),
        CLOSED,
    ),
    "deletes are no replacements": Row(
        ALLOWED, (SAME, change(Operation.DELETE)), PRODUCTION.with_(guard=Guard(replaces=0))
    ),
    # -- by approval
    "an update by approval": Row(NEEDS_APPROVAL, (change(Operation.UPDATE),), ASKING),
    "a component's update by approval": Row(NEEDS_APPROVAL, (component(Operation.CREATE),), ASKING),
    "an update by approval, and approved": Row(ALLOWED, (change(Operation.UPDATE),), ASKING, {PLAN}),
    "an update by approval, and another plan approved": Row(
        NEEDS_APPROVAL, (change(Operation.UPDATE),), ASKING, {OTHER_PLAN}
    ),
    # -- allowed
    "made": Row(ALLOWED, (change(Operation.CREATE),), CLOSED),
    "updated": Row(ALLOWED, (change(Operation.UPDATE), SAME), CLOSED),
    "updated, and approved though nobody had to": Row(ALLOWED, (change(Operation.UPDATE),), approvals={PLAN}),
    "a state that is only tidied": Row(
        NEEDS_APPROVAL, (SAME, change(Operation.REMOVE_PENDING_REPLACE)), CLOSED
    ),
}


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in ROWS.items()])
def test_the_first_rule_that_holds_gives_the_verdict(row: Row) -> None:
    verdict = row.judge()
    assert verdict.kind is row.kind, verdict.why
    assert verdict.why


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("everything the same", "nothing would change"),
        (
            "all deleted, whatever the guard allows",
            "it would delete everything that there is (2 resources)",
        ),
        ("an unknown operation", "the engine named operations that are not known here: transmute"),
        ("a volume deleted", "it would delete or replace data: pad-files"),
        ("one delete too many", "it would delete 2 resources, the guard allows 1"),
        ("one replacement too many", "it would replace 2 resources, the guard allows 1"),
        ("an update by approval", "every update of this environment needs an approval"),
        ("an update by approval, and approved", "plan cccccccccccc was approved"),
        ("updated", "the policy allows it"),
    ],
)
def test_a_verdict_explains_itself(row: str, why: str) -> None:
    assert ROWS[row].judge().why == why


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ("everything the same", []),
        ("all deleted, whatever the guard allows", ["pad", "wiki"]),
        ("all deleted but one that nobody understands", ["wiki"]),
        ("a volume deleted", ["pad-files"]),
        ("a machine replaced", ["pica01"]),
        ("one delete too many", ["a", "b"]),
        ("one replacement too many", ["a", "b"]),
        ("an update by approval", ["pad"]),
        ("updated", ["pad"]),
    ],
)
def test_a_verdict_names_the_changes_that_caused_it(row: str, names: list[str]) -> None:
    assert [cause.name for cause in ROWS[row].judge().causes] == names


def test_rules_speak_in_their_order() -> None:
    """Take away what the first rule is about, and the next one speaks."""
    policy = CLOSED.with_(update=UpdateMode.APPROVAL)
    steps = [
        (strange("transmute", "x"), "not known here"),
        (change(Operation.DELETE, "pad-files", VOLUME), "data: pad-files"),
        (change(Operation.DELETE, "wiki"), "delete 1"),
        (change(Operation.REPLACE, "team"), "replace 1"),
        (change(Operation.UPDATE, "edge"), "every update"),
    ]
    for first, (_, why) in enumerate(steps):
        verdict = judge(preview(SAME, *(step for step, _ in steps[first:])), policy)
        assert verdict.kind is NEEDS_APPROVAL
        assert why in verdict.why


def test_each_unknown_word_is_named_once() -> None:
    changes = (
        strange("transmute"),
        strange("banish", "wiki"),
        strange("transmute", "team"),
        strange("", "x"),
    )
    assert judge(preview(*changes), PRODUCTION).why.endswith("not known here: banish, transmute, unknown")


def test_many_lost_volumes_are_counted_and_five_are_named() -> None:
    five = [change(Operation.DELETE, f"v{number}", VOLUME) for number in range(5)]
    seven = [*five, change(Operation.DELETE, "v5", VOLUME), *replacement("v6", VOLUME)]
    assert judge(preview(SAME, *five), PRODUCTION).why.endswith("data: v0, v1, v2, v3, v4")
    assert judge(preview(SAME, *seven), PRODUCTION).why.endswith("data: v0, v1, v2, v3, v4 and 2 more")


@pytest.mark.parametrize("kind", sorted(PRECIOUS))
@pytest.mark.parametrize("operation", sorted(DELETING | REPLACING))
def test_whatever_loses_something_precious_needs_a_person(kind: str, operation: Operation) -> None:
    wide = PRODUCTION.with_(guard=Guard(deletes=None, replaces=None))
    verdict = judge(preview(SAME, change(operation, "it", kind)), wide)
    assert verdict.kind is NEEDS_APPROVAL
    assert "it would delete or replace data: it" in verdict.why


def test_every_operation_is_of_one_sort() -> None:
    bringing = {Operation.CREATE, Operation.UPDATE, Operation.IMPORT}
    sorts = [set(QUIET), set(DELETING), set(REPLACING), bringing, {Operation.UNKNOWN}]
    assert sorted(one for sort in sorts for one in sort) == sorted(Operation)


# -- whatever the preview ----------------------------------------------------------------------------------

changes = st.builds(
    change,
    st.sampled_from(list(Operation)),
    st.sampled_from(["pad", "wiki", "team", "edge"]),
    st.sampled_from([CONTAINER, VOLUME, VM, PROVIDER, COMPONENT]),
    custom=st.booleans(),
)
previews = st.lists(changes, max_size=8).map(lambda found: preview(*found))
limits = st.none() | st.integers(0, 3)
policies = st.builds(
    lambda mode, deletes, replaces: PRODUCTION.with_(
        update=mode, guard=Guard(deletes=deletes, replaces=replaces)
    ),
    st.sampled_from(UpdateMode),
    limits,
    limits,
)


@given(seen=previews, policy=policies)
def test_an_approval_lifts_what_needs_one_and_nothing_else(seen: Preview, policy: Policy) -> None:
    without, approved = judge(seen, policy), judge(seen, policy, {PLAN})
    expected = ALLOWED if without.kind is NEEDS_APPROVAL else without.kind
    assert approved.kind is expected
    assert judge(seen, policy, {OTHER_PLAN}) == without


@given(seen=previews, policy=policies)
def test_nothing_precious_is_lost_without_a_person(seen: Preview, policy: Policy) -> None:
    lost = [
        one
        for one in seen.changes
        if one.custom and one.type in PRECIOUS and one.operation in DELETING | REPLACING
    ]
    unknown = [one for one in seen.changes if one.operation is Operation.UNKNOWN]
    verdict = judge(seen, policy)
    if lost or unknown:
        assert verdict.kind in {NEEDS_APPROVAL, FORBIDDEN}


@given(seen=previews, policy=policies)
def test_the_causes_are_changes_of_the_preview(seen: Preview, policy: Policy) -> None:
    verdict = judge(seen, policy)
    assert set(verdict.causes) <= set(seen.touching)
    assert bool(verdict.causes) is (verdict.kind is not UNCHANGED)


@given(seen=previews, policy=policies, data=st.data())
def test_the_engine_s_order_does_not_matter(seen: Preview, policy: Policy, data: st.DataObject) -> None:
    shuffled = preview(*data.draw(st.permutations(seen.changes)))
    assert judge(shuffled, policy).kind is judge(seen, policy).kind


@given(seen=previews, policy=policies)
def test_a_narrower_guard_never_allows_more(seen: Preview, policy: Policy) -> None:
    order = [UNCHANGED, ALLOWED, NEEDS_APPROVAL, FORBIDDEN]
    closed = policy.with_(guard=Guard(deletes=0, replaces=0))
    assert order.index(judge(seen, closed).kind) >= order.index(judge(seen, policy).kind)
