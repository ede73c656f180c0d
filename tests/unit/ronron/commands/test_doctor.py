"""What `ronron doctor` checks, in the order in which a person would fix it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from ronron.commands.doctor import check_environment, check_machine
from ronron.core.errors import AuthenticationError, ConfigError
from ronron.core.model import Revision
from ronron.core.status import CheckResult
from ronron.passes.reconcile import Target
from ronron.passes.targets import Targets
from ronron.ports import Source
from ronron.settings import Settings, load_settings
from ronron.testing import FakeSource
from tests.support.worlds import PROJECT, World

ENGINE = CheckResult(name="engine", good=True, version="3.274.1", origin="/opt/pulumi/pulumi")
PLUGIN = CheckResult(name="docker plugin", good=False, remedy="install it")
POLICY = "environments.yaml"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE", raising=False)


@pytest.fixture
def source() -> FakeSource:
    found = FakeSource()
    found.commit(
        {**PROJECT, POLICY: "environments: {staging: {reference: main}, production: {reference: main}}\n"}
    )
    return found


def targets(source: Source) -> Mapping[str, Target]:
    return Targets(source, "HEAD", POLICY)()


def findings(
    source: Source, state: Path, *tools: CheckResult, passphrase_file: Path | None = None
) -> dict[str, CheckResult]:
    settings = load_settings(state=state, passphrase_file=passphrase_file, repository="https://git.example/x")
    found = check_machine(settings, lambda: source, targets, lambda: tools)
    return {finding.name: finding for finding in found}


def test_a_sound_machine_has_everything(source: FakeSource, tmp_path: Path) -> None:
    found = findings(source, tmp_path, ENGINE)
    assert list(found) == ["engine", "state directory", "passphrase", "repository", "policy"]
    assert all(finding.good for finding in found.values())


def test_the_programs_of_this_machine_come_first(source: FakeSource, tmp_path: Path) -> None:
    found = findings(source, tmp_path, ENGINE, PLUGIN)
    assert list(found)[:2] == ["engine", "docker plugin"]
    assert (found["engine"], found["docker plugin"]) == (ENGINE, PLUGIN)


def test_a_plugin_directory_that_does_not_exist_is_named(source: FakeSource, tmp_path: Path) -> None:
    settings = load_settings(
        state=tmp_path, pulumi_plugins=tmp_path / "none", repository="https://git.example/x"
    )
    first, *_ = check_machine(settings, lambda: source, targets, list)
    assert (first.name, first.good) == ("plugin directory", False)
    assert str(tmp_path / "none") in first.origin
    assert "RONRON_PULUMI_PLUGINS" in first.remedy


# -- the state directory -----------------------------------------------------------------------------------


def test_a_state_directory_need_not_exist_yet(source: FakeSource, tmp_path: Path) -> None:
    state = tmp_path / "not" / "there" / "yet"
    assert findings(source, state)["state directory"] == CheckResult(
        name="state directory", good=True, origin=str(state)
    )
    assert not state.exists()


def test_a_file_where_the_state_directory_should_be_is_named(source: FakeSource, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = findings(source, tmp_path / "file" / "state")["state directory"]
    assert not finding.good
    assert str(tmp_path / "file") in finding.remedy


def test_a_dangling_link_is_named(source: FakeSource, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    finding = findings(source, tmp_path / "loop" / "state")["state directory"]
    assert not finding.good
    assert str(tmp_path / "loop") in finding.remedy


def test_a_state_directory_whose_path_cannot_be_read_does_not_crash_the_doctor(
    source: FakeSource, tmp_path: Path
) -> None:
    """Such as one below a home that this user may not enter; too long a name fails for root as well."""
    state = tmp_path / ("x" * 300)
    assert findings(source, state)["state directory"].origin == str(state)


# -- the passphrase ----------------------------------------------------------------------------------------


def test_a_missing_passphrase_is_good_and_has_a_hint(source: FakeSource, tmp_path: Path) -> None:
    finding = findings(source, tmp_path)["passphrase"]
    assert (finding.good, finding.origin) == (True, "not set")
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in finding.remedy


def test_a_passphrase_of_the_environment_is_not_shown(
    source: FakeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "hunter22")
    assert findings(source, tmp_path)["passphrase"] == CheckResult(
        name="passphrase", good=True, origin="PULUMI_CONFIG_PASSPHRASE"
    )


@pytest.mark.parametrize(
    ("mode", "good"),
    [(0o600, True), (0o400, True), (0o640, False), (0o604, False), (0o620, False), (0o777, False)],
)
def test_a_passphrase_that_others_can_read_is_named(
    source: FakeSource, tmp_path: Path, mode: int, good: bool
) -> None:
    file = tmp_path / "passphrase"
    file.write_text("hunter22\n")
    file.chmod(mode)
    finding = findings(source, tmp_path, passphrase_file=file)["passphrase"]
    assert (finding.good, finding.origin) == (good, str(file))
    assert ("chmod 600" in finding.remedy) is not good
    assert "hunter22" not in str(finding)


def test_a_passphrase_file_that_is_not_there_is_named(source: FakeSource, tmp_path: Path) -> None:
    finding = findings(source, tmp_path, passphrase_file=tmp_path / "none")["passphrase"]
    assert not finding.good
    assert str(tmp_path / "none") in finding.remedy


# -- the repository and the policy -------------------------------------------------------------------------


def test_the_repository_and_its_environments_are_named(source: FakeSource, tmp_path: Path) -> None:
    found = findings(source, tmp_path)
    source.refresh()
    assert found["repository"].version == source.resolve("HEAD").short
    assert found["policy"] == CheckResult(name="policy", good=True, origin="staging, production")


def test_a_repository_that_refuses_access_is_named_without_credentials(
    source: FakeSource, tmp_path: Path
) -> None:
    url = "https://tech:hunter22@git.example/x"
    source.fail("refresh", AuthenticationError(f"cannot read {url}", hint=f"try git ls-remote {url}"))
    found = findings(source, tmp_path)
    assert not found["repository"].good
    assert "policy" not in found
    assert found["repository"].remedy.startswith("try git ls-remote")
    assert "hunter22" not in str(found)


def test_a_repository_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    def refuse() -> Source:
        raise ConfigError("cannot find a git repository here", hint="name it")

    settings: Settings = load_settings(state=tmp_path, repository="https://git.example/x")
    *_, last = check_machine(settings, refuse, targets, list)
    assert last == CheckResult(
        name="repository", good=False, origin="cannot find a git repository here", remedy="name it"
    )


def test_a_policy_that_cannot_be_used_is_named_beside_a_good_repository(
    source: FakeSource, tmp_path: Path
) -> None:
    source.commit({POLICY: "environments: {staging: {update: sometimes}}\n"})
    found = findings(source, tmp_path)
    assert found["repository"].good
    assert not found["policy"].good
    assert POLICY in found["policy"].origin


# -- an environment's own project --------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_checks_of_a_project_follow_the_environment_s_revision(world: World, tmp_path: Path) -> None:
    commit = world.source.commit(PROJECT)
    world.source.refresh()
    node = CheckResult(name="node alice", good=False, origin="offline", remedy="bring it back")
    world.engine.set_checks(commit, node)
    first, *rest = check_environment(Target(world.policy), world.ports, tmp_path)
    assert first == CheckResult(
        name="environment production",
        good=True,
        version=Revision(reference="main", commit=commit).short,
        origin="main",
    )
    assert rest == [node]
    assert world.engine.calls == ["checks production"]


def test_a_project_without_checks_is_good(world: World, tmp_path: Path) -> None:
    world.source.commit(PROJECT)
    world.source.refresh()
    (finding,) = check_environment(Target(world.policy), world.ports, tmp_path)
    assert finding.good
    assert finding.origin == "the project brings no checks; it can be previewed"


def test_a_project_that_cannot_run_fails_the_check(world: World, tmp_path: Path) -> None:
    commit = world.source.commit(PROJECT)
    world.source.refresh()
    world.engine.declare(commit, raises="no module named components")
    (finding,) = check_environment(Target(world.policy), world.ports, tmp_path)
    assert not finding.good
    assert "no module named components" in finding.origin
    assert finding.remedy
