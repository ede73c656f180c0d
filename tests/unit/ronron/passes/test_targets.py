"""The policy as it stands in the source, read from the trusted reference only."""

from __future__ import annotations

import pytest

from ronron.core.errors import ConfigError
from ronron.passes.targets import Targets, config_dir
from ronron.testing import FakeSource

POLICY = "environments: {staging: {reference: main}}\n"
FILE = "stacks/environments.yaml"


def a_source(**files: str | None) -> FakeSource:
    source = FakeSource()
    project = "name: x\nruntime: python\nstackConfigDir: stacks\n"
    source.commit({"Pulumi.yaml": project, FILE: POLICY, **files})
    source.refresh()
    return source


def test_environments_are_joined_with_their_project() -> None:
    target = Targets(a_source(), "HEAD", FILE)()["staging"]
    assert (target.policy.stack, target.project, target.config_dir) == ("staging", ".", "stacks")


def test_the_policy_is_read_again_only_when_its_revision_moved() -> None:
    source = a_source()
    targets = Targets(source, "HEAD", FILE)
    targets()
    read = source.calls["read"]
    targets()
    assert source.calls["read"] == read
    source.commit({FILE: "environments: {production: {reference: main}}\n"})
    source.refresh()
    assert set(targets()) == {"production"}


def test_a_branch_cannot_change_the_policy() -> None:
    source = a_source()
    source.commit({FILE: "environments: {other: {}}\n", "Pulumi.yaml": "name: y\n"}, branch="evil")
    source.refresh()
    assert set(Targets(source, "HEAD", FILE)()) == {"staging"}


def test_the_policy_may_be_trusted_on_another_branch() -> None:
    source = a_source()
    source.commit({FILE: "environments: {production: {reference: main}}\n"}, branch="trusted")
    source.commit({"Pulumi.yaml": "name: y\nstackConfigDir: elsewhere\n"}, branch="trusted")
    source.refresh()
    (target,) = Targets(source, "trusted", FILE)().values()
    assert (target.name, target.config_dir) == ("production", "elsewhere")


def test_a_project_may_lie_below_the_top() -> None:
    policy = "project: infra\n" + POLICY
    source = a_source(**{FILE: policy, "infra/Pulumi.yaml": "name: y\n", "Pulumi.yaml": None})
    (target,) = Targets(source, "HEAD", FILE)().values()
    assert (target.project, target.config_dir) == ("infra", ".")


def test_a_policy_that_went_wrong_is_told_at_every_look_until_it_is_mended() -> None:
    source = a_source()
    targets = Targets(source, "HEAD", FILE)
    targets()
    source.commit({FILE: "environments: {staging: {update: maybe}}\n"})
    source.refresh()
    for _ in range(2):
        with pytest.raises(ConfigError, match=FILE):
            targets()
    source.commit({FILE: POLICY})
    source.refresh()
    assert set(targets()) == {"staging"}


@pytest.mark.parametrize("missing", [FILE, "Pulumi.yaml"])
def test_a_missing_file_is_named_with_a_remedy(missing: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Targets(a_source(**{missing: None}), "HEAD", FILE)()
    assert missing in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("name: x\n", ".", id="not said"),
        pytest.param("name: x\nstackConfigDir:\n", ".", id="said with nothing"),
        pytest.param("name: x\nstackConfigDir: stacks\n", "stacks", id="said"),
        pytest.param("name: x\nstackConfigDir: deploy/stacks\n", "deploy/stacks", id="further down"),
        pytest.param("name: x\nstackConfigDir: a..b\n", "a..b", id="two dots in a name"),
    ],
)
def test_where_stack_files_lie(text: str, found: str) -> None:
    assert config_dir(text, file="Pulumi.yaml") == found


@pytest.mark.parametrize(
    "text",
    [
        "name: [",
        "- x\n",
        "stackConfigDir: /etc\n",
        "stackConfigDir: ../x\n",
        "stackConfigDir: 3\n",
        "stackConfigDir: a/../../x\n",
        "stackConfigDir: ..\n",
    ],
)
def test_a_project_file_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"Pulumi\.yaml"):
        config_dir(text, file="Pulumi.yaml")
