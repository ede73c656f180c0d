"""Which commit a reference names, row by row."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ronron.core.errors import RevisionNotFoundError
from ronron.core.model import Revision
from ronron.core.references import References, describe, find, version_key


def commit(number: int) -> str:
    return f"{number:040x}"


def references(*names: str, head: str = "refs/heads/main") -> References:
    """Each name at a commit of its own: the first at 1, and so on."""
    return References(head=head, commits={name: commit(number) for number, name in enumerate(names, 1)})


OURS = references(
    "refs/heads/main",
    "refs/heads/feature/main",
    "refs/heads/release",
    "refs/tags/main",
    "refs/tags/v1.0.0",
    "refs/tags/v1.2.0",
    "refs/tags/v1.10.0",
    "refs/tags/v2.0.0-rc.1",
    "refs/tags/pad/v9",
    "refs/tags/20261125",
)


@pytest.mark.parametrize(
    ("reference", "number"),
    [
        ("main", 1),
        ("HEAD", 1),
        ("refs/heads/main", 1),
        ("feature/main", 2),
        ("release", 3),
        ("refs/tags/main", 4),
        ("refs/tags/v1.0.0", 5),
        ("refs/tags/v1.*", 7),
        ("refs/tags/v1.[0-2].*", 6),
        ("refs/tags/v?.?.?", 6),
        ("refs/tags/v*", 7),
        ("refs/tags/v2*", 8),
        ("refs/tags/v*-rc.*", 8),
        ("refs/tags/pad/*", 9),
    ],
)
def test_a_reference_names_one_commit(reference: str, number: int) -> None:
    assert find(OURS, reference) == Revision(reference=reference, commit=commit(number))


@pytest.mark.parametrize(
    ("reference", "message", "hint"),
    [
        (
            "mian",
            "cannot find branch 'mian'",
            "use one that is there: `main`",
        ),
        ("v1.2.0", "cannot find branch 'v1.2.0'", "write `refs/tags/v1.2.0` to follow the tag of that name"),
        ("refs/tags/v1.2", "cannot find tag 'v1.2'", "`refs/tags/v1.2.0`"),
        (
            "zzzzzz",
            "cannot find branch 'zzzzzz'",
            "push it, or use one that is there: `main`, `feature/main`",
        ),
        ("", "cannot find branch ''", "`main`"),
        (
            "refs/pull/1/head",
            "cannot find reference 'refs/pull/1/head'",
            "only refs/heads/ and refs/tags/ are",
        ),
        (
            "feature/*",
            "cannot follow the pattern 'feature/*'",
            "write it as 'refs/tags/*', or name one branch",
        ),
        ("refs/heads/*", "cannot follow the pattern 'refs/heads/*'", "name one branch"),
        ("refs/tags/x*", "cannot find a tag that matches 'refs/tags/x*'", "the newest ones are"),
        ("0" * 40, "cannot find branch '0000", "follow a branch or a tag, not a commit: `git tag"),
        ("20261125", "cannot find branch '20261125'", "write `refs/tags/20261125`"),
        ("0123abc", "cannot find branch '0123abc'", "not a commit"),
    ],
)
def test_a_reference_that_is_not_there_is_answered_with_what_is(
    reference: str, message: str, hint: str
) -> None:
    with pytest.raises(RevisionNotFoundError) as caught:
        find(OURS, reference)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_pattern_without_a_match_names_the_newest_tags_first() -> None:
    with pytest.raises(RevisionNotFoundError) as caught:
        find(references(*(f"refs/tags/v{number}" for number in (9, 10, 2, 1))), "refs/tags/x*")
    assert "the newest ones are `refs/tags/v10`, `refs/tags/v9`, `refs/tags/v2`" in caught.value.hint
    assert "v1`" not in caught.value.hint


@pytest.mark.parametrize("head", ["", "refs/heads/gone"])
def test_a_default_branch_that_is_not_there_is_named_as_what_is_wrong(head: str) -> None:
    with pytest.raises(RevisionNotFoundError, match="cannot tell the default branch") as caught:
        find(references("refs/heads/trunk", "refs/tags/v1", head=head), "HEAD")
    assert caught.value.hint == "name a branch instead of HEAD: `trunk`"


def test_without_any_branch_the_hints_say_so() -> None:
    with pytest.raises(RevisionNotFoundError) as caught:
        find(References(commits={}), "main")
    assert "there is no branch" in caught.value.hint
    with pytest.raises(RevisionNotFoundError) as caught:
        find(References(commits={}), "refs/tags/*")
    assert "there is no tag at all" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("refs/heads/main", "branch 'main'"),
        ("refs/tags/v1", "tag 'v1'"),
        ("refs/notes/x", "reference 'refs/notes/x'"),
    ],
)
def test_names_are_said_as_people_say_them(name: str, words: str) -> None:
    assert describe(name) == words


ORDERS = [
    ["0.9", "1.0", "1.0.1", "1.1", "1.9", "1.10", "2.0", "10.0"],
    # Semantic Versioning 2.0.0, section 11, but that numbers after a hyphen count on.
    [
        *("1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1"),
        "1.0.0",
    ],
    ["v2.0.0-rc.1", "v2.0.0-rc.2", "v2.0.0-rc.10", "v1.0.0", "v2.0.0"],
    ["1.0rc9", "1.0rc10", "1.0"],
    ["1.0", "1.0-hotfix", "1.0-hotfix2", "1.0.1"],
    ["1.0", "1.0.post1", "1.0.post2", "1.1"],
    ["1.14-1", "1.14-2", "1.14-10", "1.15"],
    ["2026-01-31", "2026-02-01", "2026-11-25"],
    ["20.04-lts", "22.04-lts", "24.04"],
    ["nightly", "v1-rc1", "v1"],
]


@pytest.mark.parametrize("names", ORDERS, ids=" < ".join)
def test_versions_are_in_order(names: list[str]) -> None:
    shuffled = list(names)
    random.Random(1).shuffle(shuffled)  # noqa: S311 - no secret, an order
    for smaller, larger in pairwise(names):
        assert version_key(smaller) < version_key(larger)
    assert sorted(shuffled, key=version_key) == names


@pytest.mark.parametrize(
    ("pattern", "tags", "newest"),
    [
        ("refs/tags/v1*", ["v1.5", "v10.0", "v1.10"], "v10.0"),
        ("refs/tags/v1.*", ["v1.5", "v1.10"], "v1.10"),
        ("refs/tags/v1.1*", ["v1.1.5", "v1.10.0", "v1.1"], "v1.10.0"),
        ("refs/tags/team2/*", ["team2/9", "team2/10"], "team2/10"),
        ("refs/tags/2026-*", ["2026-09-30", "2026-10-01"], "2026-10-01"),
        ("refs/tags/v1.0-rc*", ["v1.0-rc9", "v1.0-rc10"], "v1.0-rc10"),
        ("refs/tags/[rv]*", ["r1", "v2", "r3"], "r3"),
        ("refs/tags/*", ["release-1.9", "release-1.10", "release-1.10-rc1"], "release-1.10"),
    ],
)
def test_a_pattern_follows_the_newest_version(pattern: str, tags: list[str], newest: str) -> None:
    for order in (tags, tags[::-1]):
        ours = references(*(f"refs/tags/{tag}" for tag in order))
        assert find(ours, pattern).commit == ours.commits[f"refs/tags/{newest}"]


def test_a_pattern_sees_no_branches() -> None:
    ours = references("refs/heads/v9", "refs/tags/v1")
    assert find(ours, "refs/tags/v*").commit == commit(2)


NUMBERS = st.lists(st.integers(0, 30), min_size=1, max_size=4)


@given(NUMBERS, NUMBERS, st.sampled_from(["", "v", "release-"]))
def test_plain_versions_compare_as_their_numbers_do(one: list[int], other: list[int], prefix: str) -> None:
    length = max(len(one), len(other))
    first, second = (numbers + [0] * (length - len(numbers)) for numbers in (one, other))
    keys = [version_key(prefix + ".".join(map(str, numbers)))[:4] for numbers in (one, other)]
    assert (keys[0] < keys[1]) == (first < second)
    assert (keys[0] == keys[1]) == (first == second)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_two_names_have_one_order(one: str, other: str) -> None:
    assert (version_key(one) < version_key(other)) + (version_key(other) < version_key(one)) == (one != other)


@given(st.text(max_size=40))
@example("?\n")
def test_any_text_names_a_commit_or_is_refused_with_a_remedy(reference: str) -> None:
    try:
        found = find(OURS, reference)
    except RevisionNotFoundError as error:
        refused = error
    else:
        assert found.commit in OURS.commits.values()
        return
    assert refused.hint
    assert "\n" not in f"{refused.message}{refused.hint}"
