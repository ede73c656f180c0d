"""Commands of Pulumi in messages: plain where Pulumi runs by hand, by `ronron` where the reconciler runs."""

from __future__ import annotations

import pytest

from chatons.schema.by_hand import pulumi_command


@pytest.fixture(autouse=True)
def nobody_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RONRON_ENVIRONMENT", raising=False)
    monkeypatch.delenv("RONRON_ENVIRONMENTS", raising=False)


def test_without_the_reconciler_it_is_pulumis_own() -> None:
    assert pulumi_command("up --refresh") == "pulumi up --refresh"
    assert pulumi_command("config rm a", stack="ours") == "pulumi config rm a --stack ours"
    assert pulumi_command("config set a < KEYFILE", stack="ours") == (
        "pulumi config set a --stack ours < KEYFILE"
    )


def test_the_reconciler_names_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONRON_ENVIRONMENT", "production")
    assert pulumi_command("config set a < KEYFILE", stack="ours") == (
        "ronron pulumi production -- config set a < KEYFILE"
    )
    without = pulumi_command("up", before="RONRON_EXCLUDE=a")
    assert without == "RONRON_EXCLUDE=a ronron pulumi production -- up"


def test_a_check_of_several_stacks_names_the_environment_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONRON_ENVIRONMENTS", "ours=production,test=staging")
    assert pulumi_command("config rm a", stack="test") == "ronron pulumi staging -- config rm a"
    assert pulumi_command("config rm a", stack="other") == "pulumi config rm a --stack other"
