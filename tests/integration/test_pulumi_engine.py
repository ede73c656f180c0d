"""The real engine where it hurts: deadlines, strange output, secrets, other owners, and our own death."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from ronron.adapters.pulumi_engine.engine import PulumiEngine
from ronron.core.errors import (
    ConfigError,
    EngineError,
    EngineTimeoutError,
    PassphraseError,
    PendingOperationsError,
    PlanViolatedError,
    StackLockedError,
    UpdateFailedError,
)
from ronron.core.model import Operation, Preview, ProcessMark, Updated
from ronron.testing import Thing
from tests.support.engine_worlds import resources_in
from tests.support.pulumi_project import PASSPHRASE, PulumiProject, nothing, until

pytestmark = pytest.mark.timeout(180)

LAMP, SOFA = Thing("lamp"), Thing("sofa", parent="lamp")
SECRET = "tulips under the third stone"


@pytest.fixture
def project(tmp_path: Path) -> PulumiProject:
    return PulumiProject(tmp_path)


class Running:
    """An update in a thread of ours."""

    def __init__(self, project: PulumiProject, engine: PulumiEngine, preview: Preview) -> None:
        self.marks: list[ProcessMark] = []
        self._ended: list[Updated | EngineError] = []
        self._thread = threading.Thread(target=self._run, args=(project, engine, preview))
        self._thread.start()

    def _run(self, project: PulumiProject, engine: PulumiEngine, preview: Preview) -> None:
        try:
            self._ended.append(engine.update(project.program(), preview, self.marks.append))
        except EngineError as error:
            self._ended.append(error)

    def result(self) -> Updated:
        """How it ended, as the call itself would have."""
        self._thread.join()
        (ended,) = self._ended
        if isinstance(ended, EngineError):
            raise ended
        return ended


@contextmanager
def held(project: PulumiProject, name: str) -> Iterator[None]:
    """Whoever makes that thing within the block stands still, at the latest until its end."""
    project.hold(name)
    try:
        yield
    finally:
        project.let_go(name)


def written(directory: Path) -> dict[Path, bytes]:
    """All files below a directory, with what is in them."""
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


# -- deadlines -------------------------------------------------------------------------------------


def test_an_update_that_takes_too_long_ends_what_it_is_at_and_nothing_more(project: PulumiProject) -> None:
    project.declare(LAMP, SOFA)
    engine = project.engine(project.settings(update_deadline=timedelta(seconds=20)))
    preview = engine.preview(project.program(create_stack=True))
    with held(project, "lamp"):
        update = Running(project, engine, preview)
        project.await_begun("lamp")
        (up,) = project.work.glob("*-up.out")
        # A hard stop would never come to say so.
        until(lambda: b"ancel" in up.read_bytes(), "the engine's word that it was asked to stop")
    with pytest.raises(EngineTimeoutError) as caught:
        update.result()
    assert "RONRON_UPDATE_DEADLINE" in caught.value.hint
    assert (project.world / "lamp").read_text() == "made\n"
    state = engine.state(project.program())
    assert (resources_in(engine, project.program()), state.pending) == (1, ())
    assert project.locks() == []
    assert project.left() == []


def test_an_engine_that_does_not_stop_is_ended_with_all_that_it_started(project: PulumiProject) -> None:
    project.declare(LAMP)
    engine = project.engine(grace=timedelta(seconds=1))
    preview = engine.preview(project.program(create_stack=True))
    with held(project, "lamp"):
        update = Running(project, engine, preview)
        project.await_begun("lamp")
        engine.interrupt()
        with pytest.raises(PendingOperationsError, match="lamp"):
            update.result()
        assert project.left() == []
    assert project.locks() == []


def test_a_preview_that_takes_too_long_leaves_no_process(project: PulumiProject) -> None:
    project.declare(before="time.sleep(60)")
    engine = project.engine(project.settings(preview_deadline=timedelta(seconds=5)))
    project.pulumi("stack", "init", "dev")
    with pytest.raises(EngineTimeoutError) as caught:
        engine.preview(project.program())
    assert "RONRON_PREVIEW_DEADLINE" in caught.value.hint
    until(lambda: project.left() == [], "the end of all that the preview started")


# -- what programs say -----------------------------------------------------------------------------


def test_bytes_that_are_no_text_and_a_flood_of_them_harm_nothing(project: PulumiProject) -> None:
    flood = (
        r'[f.buffer.write(b"\xff\xfe caf\xe9 " + b"x" * 300_000 + b"\n") for f in (sys.stdout, sys.stderr)]'
    )
    project.declare(LAMP, inventory={"version": 1}, before=flood, after='pulumi.log.warn("a wo\\x1b[1mrd")')
    engine = project.engine()
    preview = engine.preview(project.program(create_stack=True))
    updated = engine.update(project.program(), preview, nothing)
    assert [change.name for change in updated.changes if change.type.endswith(":Resource")] == ["lamp"]
    assert updated.inventory == {"version": 1}
    assert all(message.isprintable() for message in (*preview.messages, *updated.messages))


def test_a_stack_file_that_pulumi_reads_is_read(project: PulumiProject) -> None:
    stack_file = project.checkout / "stacks" / "Pulumi.dev.yaml"
    stack_file.write_text("config:\n  tiny:a: &a {b: 1.5}\n  tiny:c: *a\n")
    project.declare(after='pulumi.export("inventory", pulumi.Config().require_object("c"))')
    engine = project.engine()
    updated = engine.update(project.program(), engine.preview(project.program(create_stack=True)), nothing)
    assert updated.inventory == {"b": 1.5}


def test_an_inventory_with_a_key_that_the_update_learns_is_told_after_it(project: PulumiProject) -> None:
    after = (
        'vm = File(Files(), "vm", {"file": "../world/vm", "fails": "", "replaceOn": "[]", "made": None})\n'
        "key = pulumi.Output.unsecret(pulumi.Output.secret(pulumi.Output.from_input(vm.made)))\n"
        'pulumi.export("inventory", {"version": 1, "machines": {"vm": {"host_key": key}}})'
    )
    project.declare(before="File.made = None", after=after)
    engine = project.engine()
    first = engine.preview(project.program(create_stack=True))
    updated = engine.update(project.program(), first, nothing)
    assert isinstance(updated.inventory, dict)
    key = updated.inventory["machines"]["vm"]["host_key"]
    assert float(key) > 0
    again = engine.preview(project.program())
    assert {change.operation for change in again.changes} == {Operation.SAME}
    assert engine.update(project.program(), again, nothing).inventory == updated.inventory


def test_a_broken_stack_file_is_named(project: PulumiProject) -> None:
    project.pulumi("stack", "init", "dev")
    for stack in ("dev", "not-made-yet"):
        (project.checkout / "stacks" / f"Pulumi.{stack}.yaml").write_text("config:\n  tiny:a: [1\n")
        with pytest.raises(
            ConfigError, match=rf"^stacks/Pulumi\.{stack}\.yaml:\d+:\d+: cannot read the YAML: "
        ):
            project.engine().preview(project.program(stack=stack, create_stack=True, work=stack))


def test_the_secrets_of_a_stack_are_read_and_written_nowhere(project: PulumiProject) -> None:
    stack_file = project.checkout / "stacks" / "Pulumi.dev.yaml"
    project.pulumi("stack", "init", "dev")
    project.pulumi("config", "set", "--stack", "dev", "--secret", "tiny:word", SECRET)
    path = ("--path", "tiny:backup.password", "under a lantern")
    project.pulumi("config", "set", "--stack", "dev", "--secret", *path)
    project.pulumi("config", "set", "--stack", "dev", "--path", "tiny:backup.drill", "weekly")
    assert SECRET not in stack_file.read_text()
    engine = project.engine()
    assert engine.secrets(project.program()) == {SECRET, "under a lantern"}
    for directory in (project.work, project.state, project.checkout):
        assert not [path for path, text in written(directory).items() if SECRET.encode() in text]


# -- places that are not there ---------------------------------------------------------------------


def test_a_place_that_cannot_be_written_is_told_and_not_raised_as_it_is(project: PulumiProject) -> None:
    (project.root / "full").write_text("a file in the way")
    with pytest.raises(EngineError, match="cannot start the engine: Not a directory") as caught:
        project.engine().preview(project.program(work="full/of/it"))
    assert "df -h" in caught.value.hint
    assert caught.value.retryable


def test_a_checkout_that_is_gone_is_told_and_not_raised_as_it_is(project: PulumiProject) -> None:
    program = project.program().with_(directory=project.root / "gone")
    with pytest.raises(EngineError, match="cannot start the engine: No such file") as caught:
        project.engine().preview(program)
    assert caught.value.where == str(project.root / "gone")


# -- secrets ---------------------------------------------------------------------------------------


def test_secrets_stay_out_of_messages_and_files(project: PulumiProject) -> None:
    project.pulumi("stack", "init", "dev")
    project.pulumi("config", "set", "--secret", "tiny:key", SECRET)
    project.declare(
        Thing("lamp", {"key": "plain"}),
        before='key = pulumi.Config().require_secret("key")\n'
        'key.apply(lambda clear: (print(clear), pulumi.log.warn(f"it is {clear}")))\n'
        'File(Files(), "safe", {"file": "../world/safe", "fails": "", "replaceOn": "[]", "key": key})',
        after='pulumi.export("inventory", {"version": 1}); pulumi.export("key", key)',
    )
    engine = project.engine()
    preview = engine.preview(project.program())
    updated = engine.update(project.program(), preview, nothing)
    assert "safe" in [change.name for change in updated.changes]
    assert updated.inventory == {"version": 1}
    told = f"{preview!r} {updated!r} {engine.state(project.program())!r} {preview.model_dump_json()}"
    for secret in (SECRET, PASSPHRASE):
        assert secret not in told
        assert [path for path, content in written(project.root).items() if secret.encode() in content] == []
    assert project.pulumi("config", "get", "tiny:key").stdout.strip() == SECRET


def test_what_a_pass_writes_is_for_its_owner_alone(project: PulumiProject) -> None:
    project.declare(LAMP)
    engine = project.engine()
    engine.update(project.program(), engine.preview(project.program(create_stack=True)), nothing)
    for path in (project.work, project.work / "project", project.root / "pulumi-home", project.state):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    kept = [path for path in project.work.iterdir() if path.is_file()]
    assert {"01-preview.err", "03-preview.plan.json", "Pulumi.dev.yaml"} <= {path.name for path in kept}
    assert [path for path in kept if path.stat().st_mode & 0o077] == []


def test_a_secret_in_the_words_of_a_provider_is_not_passed_on(project: PulumiProject) -> None:
    project.declare(
        Thing("lamp", fails=f"cannot log in at https://tech:hunter22@registry.example with {PASSPHRASE}")
    )
    engine = project.engine()
    preview = engine.preview(project.program(create_stack=True))
    with pytest.raises(UpdateFailedError, match=r"cannot create resource lamp") as caught:
        engine.update(project.program(), preview, nothing)
    told = f"{caught.value} {caught.value.hint}"
    assert "registry.example" in told
    assert "hunter22" not in told
    assert PASSPHRASE not in told


def test_the_program_sees_only_what_it_is_allowed_to(project: PulumiProject) -> None:
    project.declare(before='pathlib.Path("../seen").write_text(json.dumps(dict(os.environ)))')
    theirs = {
        **project.inherited(),
        "RONRON_FORGE_TOKEN": "glpat-1",
        "GITLAB_TOKEN": "glpat-2",
        "AWS_SECRET_ACCESS_KEY": "aws-3",
        "PROXMOX_VE_API_TOKEN": "pve-4",
    }
    settings = project.settings(pass_environment=("PROXMOX_VE_API_TOKEN",))
    project.engine(settings, inherited=theirs).preview(project.program(create_stack=True))
    seen = json.loads((project.root / "seen").read_text())
    assert seen["PROXMOX_VE_API_TOKEN"] == "pve-4"
    assert {"RONRON_FORGE_TOKEN", "GITLAB_TOKEN", "AWS_SECRET_ACCESS_KEY"}.isdisjoint(seen)


def test_a_wrong_passphrase_opens_no_secret_and_changes_nothing(project: PulumiProject) -> None:
    project.pulumi("stack", "init", "dev")
    project.pulumi("config", "set", "--secret", "tiny:key", SECRET)
    project.declare(LAMP, before='key = pulumi.Config().require_secret("key")')
    preview = project.engine().preview(project.program())
    before = written(project.state) | written(project.checkout)
    wrong = project.engine(project.settings(passphrase="battery staple"))
    with pytest.raises(PassphraseError, match="wrong passphrase") as caught:
        wrong.preview(project.program(work="other"))
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in caught.value.hint
    with pytest.raises(PassphraseError, match="wrong passphrase"):
        wrong.update(project.program(), preview, nothing)
    missing = project.engine(project.settings(passphrase=None))
    with pytest.raises(PassphraseError, match="no passphrase"):
        missing.preview(project.program(work="third"))
    assert written(project.state) | written(project.checkout) == before
    assert not (project.world / "lamp").exists()


# -- between preview and update --------------------------------------------------------------------


def test_a_program_that_changed_after_its_preview_makes_nothing(project: PulumiProject) -> None:
    project.declare(LAMP)
    engine = project.engine()
    preview = engine.preview(project.program(create_stack=True))
    project.declare(LAMP, Thing("bed"), Thing("desk", {"drawers": "a secret number"}))
    with pytest.raises(PlanViolatedError, match=r"bed|desk") as caught:
        engine.update(project.program(), preview, nothing)
    assert caught.value.retryable
    assert "a secret number" not in f"{caught.value} {caught.value.hint}"
    assert not {"bed", "desk"} & {path.name for path in project.world.iterdir()}


def test_a_preview_of_other_files_starts_no_engine(project: PulumiProject) -> None:
    project.declare(LAMP)
    engine = project.engine()
    preview = engine.preview(project.program(create_stack=True))
    marks: list[ProcessMark] = []
    with pytest.raises(PlanViolatedError):
        engine.update(project.program().with_(digest="e" * 64), preview, marks.append)
    with pytest.raises(PlanViolatedError):
        engine.update(project.program(commit="b" * 40), preview, marks.append)
    assert preview.plan is not None
    preview.plan.unlink()
    with pytest.raises(PlanViolatedError, match="plan is gone"):
        engine.update(project.program(), preview, marks.append)
    assert marks == []


# -- after a kill ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a stack in which the lamp is live."""
    project = PulumiProject(tmp_path_factory.mktemp("lit"))
    project.declare(LAMP)
    engine = project.engine()
    engine.update(project.program(), engine.preview(project.program(create_stack=True)), nothing)
    return project.state


@pytest.mark.parametrize("left", ["", '{"user.cache_control":'])
@pytest.mark.parametrize("asked", ["state", "preview", "settle", "export"])
def test_half_written_attributes_of_a_killed_engine_hide_no_state(
    project: PulumiProject, lit: Path, left: str, asked: str
) -> None:
    project.declare(LAMP)
    shutil.copytree(lit, project.state)
    engine = project.engine()
    (attributes,) = project.state.rglob("dev.json.attrs")
    attributes.write_text(left)
    # What they stop is a maintainer too, who has the engine alone.
    with pytest.raises(subprocess.CalledProcessError):
        project.pulumi("stack", "export", "--stack", "dev")
    match asked:
        case "state":
            assert resources_in(engine, project.program()) == 1
        case "preview":
            assert engine.preview(project.program()).touching == ()
        case "settle":
            assert engine.recover_from_crash(project.program(), None) == "nothing was left"
        case "export":
            assert "lamp" in (engine.export(project.program()) or "")
    project.pulumi("stack", "export", "--stack", "dev")


# -- other owners ----------------------------------------------------------------------------------


def test_a_stack_that_a_maintainer_updates_is_left_alone(project: PulumiProject) -> None:
    project.declare(LAMP)
    engine = project.engine()
    preview = engine.preview(project.program(create_stack=True))
    with held(project, "lamp"):
        by_hand = threading.Thread(
            target=lambda: project.pulumi("up", "--yes", "--skip-preview", "--stack", "dev")
        )
        by_hand.start()
        project.await_begun("lamp")
        try:
            (lock,) = project.locks()
            owner = json.loads(lock.read_text())["pid"]
            for refused in (
                lambda: engine.update(project.program(), preview, nothing),
                lambda: engine.recover_from_crash(project.program(), None),
            ):
                with pytest.raises(StackLockedError, match=rf"process {owner}\b") as caught:
                    refused()
                assert "ronron pulumi dev -- cancel" in caught.value.hint
            assert project.locks() == [lock]
        finally:
            project.let_go("lamp")
            by_hand.join()
    assert (project.world / "lamp").read_text() == "made\n"
    assert engine.state(project.program()).pending == ()


# -- what was live before --------------------------------------------------------------------------


def test_the_program_sees_which_commit_was_live_before(project: PulumiProject) -> None:
    seen = "pathlib.Path('../world/seen').open('a').write(os.environ.get('RONRON_REVISION', 'none') + ' ')"
    project.declare(LAMP, before=seen)
    engine = project.engine(inherited={**project.inherited(), "RONRON_REVISION": "theirs"})
    engine.preview(project.program(create_stack=True))
    program = project.program().with_(running="c" * 40)
    engine.update(program, engine.preview(program), nothing)
    assert (project.world / "seen").read_text().split() == ["none", "c" * 40, "c" * 40]
