"""What a fingerprint takes into account, and what it leaves out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronron.core.digest import IRRELEVANT, digest, identity
from ronron.core.model import QUIET, Change, Operation
from tests.support.values import CONTAINER, NEW, NEW_DIGEST, OLD, OLD_DIGEST, VOLUME, change

ENGINE = "3.274.1"

TOP = {"Pulumi.yaml": "1", "__main__.py": "2", "components": "3", "requirements.lock": "4", "stacks": "5"}
STACKS = {"Pulumi.production.yaml": "6", "Pulumi.staging.yaml": "7", "environments.yaml": "8"}


def apart(top: dict[str, str] = TOP, stacks: dict[str, str] = STACKS, *, stack: str = "production") -> str:
    """The digest of a project whose stack files lie in a directory of their own."""
    return digest(top, stacks, config_dir="stacks", stack=stack)


def beside(top: dict[str, str], *, stack: str = "production") -> str:
    """The digest of a project whose stack files lie beside the program."""
    return digest(top, top, config_dir=".", stack=stack)


def test_a_digest_is_one_hash_of_a_known_form() -> None:
    assert len(apart()) == 64
    assert set(apart()) <= set("0123456789abcdef")


def test_a_digest_is_the_same_on_every_machine_and_every_day() -> None:
    """Records of earlier releases hold it: another form would start every engine once more."""
    assert apart() == "79f3927d6015325d565498f3cf5005ba0d102e9753c2fa2f7055c8995c95e805"


@pytest.mark.parametrize("name", ["Pulumi.yaml", "__main__.py", "components", "requirements.lock"])
def test_whatever_the_program_may_read_counts(name: str) -> None:
    assert apart(TOP | {name: "other"}) != apart()
    assert apart({key: value for key, value in TOP.items() if key != name}) != apart()


def test_a_file_that_nobody_knows_counts() -> None:
    assert apart(TOP | {"surprise.bin": "9"}) != apart()


@pytest.mark.parametrize(
    "name",
    [
        ".ci", ".forgejo", ".gitea", ".github", ".gitignore", ".gitlab", ".gitlab-ci.yml", "LICENSE",
        "LICENSE.md", "Makefile", "docs", "tests", "README.md",
    ],
)  # fmt: skip
def test_what_no_program_reads_does_not_count(name: str) -> None:
    assert apart(TOP | {name: "9"}) == apart(TOP | {name: "10"}) == apart()


@pytest.mark.parametrize("name", ["docs.py", "makefile", "test", "README.rst", "mylicense", "tests2", "md"])
def test_a_name_that_only_looks_irrelevant_counts(name: str) -> None:
    assert apart(TOP | {name: "9"}) != apart()


@pytest.mark.parametrize(
    "name", ["settings.yaml", "Pulumi.txt", "Pulumi.d", "MyPulumi.other.yaml", "Pulumiyaml"]
)
def test_a_name_that_only_looks_like_a_stack_file_counts(name: str) -> None:
    assert apart(TOP | {name: "9"}) != apart()
    assert apart(stacks=STACKS | {name: "9"}) != apart()


def test_a_name_that_is_no_text_counts_too() -> None:
    assert apart(TOP | {"caf\udce9.py": "9"}) != apart(TOP | {"caf\udce8.py": "9"})


def test_only_names_at_the_top_are_left_out() -> None:
    assert not any("/" in pattern for pattern in IRRELEVANT)


def test_only_the_stack_s_own_file_counts() -> None:
    assert apart(stacks=STACKS | {"Pulumi.production.yaml": "other"}) != apart()
    assert apart(stacks=STACKS | {"Pulumi.staging.yaml": "other"}) == apart()
    assert apart(stacks=STACKS | {"Pulumi.new.yml": "9"}) == apart()


@pytest.mark.parametrize("name", ["Pulumi.production.yaml", "Pulumi.production.yml"])
def test_a_stack_file_may_end_in_either_way(name: str) -> None:
    assert apart(stacks={name: "6"}) != apart(stacks={})


def test_the_directory_of_stack_files_counts_by_what_is_in_it() -> None:
    """Its tree changes whenever any file in it does."""
    assert apart(TOP | {"stacks": "other"}) == apart()


def test_what_else_lies_beside_the_stack_files_counts() -> None:
    assert apart(stacks=STACKS | {"keys": "9"}) != apart()


def test_the_policy_does_not_count() -> None:
    assert apart(stacks=STACKS | {"environments.yaml": "other"}) == apart()


def test_two_stacks_of_one_content_differ() -> None:
    assert apart(stacks={}, stack="staging") != apart(stacks={}, stack="production")


def test_stack_files_beside_the_program_are_told_apart() -> None:
    top = {**TOP, **STACKS}
    assert beside(top | {"Pulumi.production.yaml": "other"}) != beside(top)
    assert beside(top | {"Pulumi.staging.yaml": "other"}) == beside(top)
    assert beside(top | {"Pulumi.yaml": "other"}) != beside(top)
    assert beside(top | {"__main__.py": "other"}) != beside(top)
    assert beside(top | {"environments.yaml": "other"}) == beside(top)
    assert beside(top | {"README.md": "other"}) == beside(top)
    assert beside(top | {"README.md": "9"}) == beside(top)


@pytest.mark.parametrize("name", ["values.yaml", "pulumi.staging.yaml", "Pulumi.staging.json", "Pulumi.txt"])
def test_what_only_looks_like_a_stack_file_counts(name: str) -> None:
    assert beside(TOP | {name: "9"}) != beside(TOP)
    assert apart(stacks=STACKS | {name: "9"}) != apart()


def test_a_name_that_is_no_text_counts() -> None:
    """As git gives it where its bytes are no UTF-8."""
    assert apart(TOP | {"caf\udce9": "9"}) != apart()


def test_stack_files_further_down_count_with_their_whole_tree() -> None:
    """That tree may hold code, and its entries cannot be told apart from here."""

    def deep(top: dict[str, str], stacks: dict[str, str]) -> str:
        return digest(top, stacks, config_dir="deploy/stacks", stack="production")

    top = TOP | {"deploy": "9"}
    assert deep(top | {"deploy": "other"}, STACKS) != deep(top, STACKS)
    assert deep(top, STACKS | {"Pulumi.production.yaml": "other"}) != deep(top, STACKS)


@pytest.mark.parametrize("written", ["stacks", "stacks/", "./stacks"])
def test_a_directory_may_be_written_in_several_ways(written: str) -> None:
    assert digest(TOP, STACKS, config_dir=written, stack="production") == apart()


def test_a_digest_tells_a_name_from_its_content() -> None:
    assert apart({"a": "bc"}) != apart({"ab": "c"})


@given(st.permutations(list(TOP.items())), st.permutations(list(STACKS.items())))
def test_the_order_of_entries_does_not_count(
    top: list[tuple[str, str]], stacks: list[tuple[str, str]]
) -> None:
    assert apart(dict(top), dict(stacks)) == apart()


# -- identity ----------------------------------------------------------------------------------------------

CHANGES = (
    change(Operation.UPDATE, "pad", properties=("envs", "image")),
    change(Operation.DELETE, "wiki"),
    change(Operation.SAME, "team"),
)


def named(*changes: Change) -> str:
    return identity(NEW.commit, NEW_DIGEST, ENGINE, changes)


def test_an_identity_is_the_same_on_every_machine_and_every_day() -> None:
    """Approvals are kept under it."""
    assert named(*CHANGES) == "79d427628b9576769769871d463a9757480741c81c1f437afef614b69e24af36"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(identity(OLD.commit, NEW_DIGEST, ENGINE, CHANGES), id="another commit"),
        pytest.param(identity(NEW.commit, OLD_DIGEST, ENGINE, CHANGES), id="another program"),
        pytest.param(identity(NEW.commit, NEW_DIGEST, "3.275.0", CHANGES), id="another engine"),
        pytest.param(identity(NEW.commit, NEW_DIGEST, ENGINE, CHANGES, ["pica02"]), id="without a machine"),
        pytest.param(named(*CHANGES[:1]), id="a change less"),
        pytest.param(named(*CHANGES, change(Operation.CREATE, "edge")), id="a change more"),
        pytest.param(
            named(change(Operation.REPLACE, "pad", properties=("envs", "image")), *CHANGES[1:]),
            id="another operation",
        ),
        pytest.param(
            named(change(Operation.UPDATE, "pad", properties=("envs",)), *CHANGES[1:]), id="another property"
        ),
        pytest.param(
            named(change(Operation.UPDATE, "pad2", properties=("envs", "image")), *CHANGES[1:]),
            id="another resource",
        ),
        pytest.param(
            named(change(Operation.UPDATE, "pad", VOLUME, properties=("envs", "image")), *CHANGES[1:]),
            id="another type",
        ),
    ],
)
def test_whatever_differs_in_a_plan_gives_another_identity(other: str) -> None:
    assert other != named(*CHANGES)


def test_two_unknown_operations_are_two_plans() -> None:
    first = change(Operation.UNKNOWN, original="transmute")
    assert named(first) != named(first.with_(original="banish"))


@given(st.permutations(CHANGES), st.permutations(["envs", "image", "image"]))
def test_order_does_not_count_in_an_identity(changes: list[Change], properties: list[str]) -> None:
    shuffled = [
        one.with_(properties=tuple(properties)) if one.operation is Operation.UPDATE else one
        for one in changes
    ]
    assert named(*shuffled) == named(*CHANGES)


@given(st.lists(st.builds(change, st.sampled_from(sorted(QUIET)), st.text(), st.just(CONTAINER))))
def test_what_touches_nothing_does_not_count_in_an_identity(quiet: list[Change]) -> None:
    assert named(*CHANGES, *quiet) == named(*CHANGES)
