"""`ronron pulumi`: a maintainer runs the real engine in a clone, from a shell that knows nothing of it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ronron.adapters.sql_store.store import SqlStore
from ronron.testing import Thing
from tests.support.installations import installation
from tests.support.pulumi_project import PASSPHRASE, PATIENCE, PulumiProject
from tests.support.repositories import git

POLICY = "environments: {production: {stack: ours, reference: main}, staging: {reference: main}}\n"
RONRON = str(Path(sys.executable).with_name("ronron"))


class Clone(PulumiProject):
    """A clone of a collective's repository, and a shell in it without an activated environment."""

    @property
    def shell(self) -> dict[str, str]:
        passphrase = self.root / "passphrase"
        passphrase.write_text(PASSPHRASE)
        passphrase.chmod(0o600)
        return {
            "HOME": str(self.root / "home"),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "RONRON_STATE": str(self.root / "ronron"),
            "RONRON_SETTINGS_FILE": "",
            "RONRON_INSTALLATION": str(installation(self.root / "installation.json")),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
        }

    def ronron(
        self, *words: str, given: str = "", at: Path | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [RONRON, *words],
            cwd=at or self.checkout / "stacks",
            env=self.shell | more,
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """A pass works on the stack."""
        with SqlStore(self.root / "ronron", what="ronron watch") as store, store.lock("ours"):
            yield

    def files(self) -> set[str]:
        return {
            str(file.relative_to(self.checkout)) for file in self.checkout.rglob("*") if file.is_file()
        } - {"declared.json", "__main__.py", "Pulumi.yaml", "stacks/environments.yaml"}


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    made = Clone(tmp_path)
    (made.checkout / "stacks" / "environments.yaml").write_text(POLICY)
    made.declare(Thing("lamp", {"volt": "12"}))
    return made


def test_a_stack_is_created_configured_and_updated_by_hand(clone: Clone) -> None:
    made = clone.ronron("pulumi", "production", "--", "stack", "init", "ours")
    assert made.returncode == 0, made.stderr
    secret = clone.ronron("pulumi", "production", "config", "set", "--secret", "tiny:word", given="hush\n")
    assert secret.returncode == 0, secret.stderr
    assert clone.files() == {"stacks/Pulumi.ours.yaml"}
    written = (clone.checkout / "stacks" / "Pulumi.ours.yaml").read_text()
    assert "encryptionsalt:" in written
    assert "hush" not in written
    assert clone.ronron("pulumi", "production", "--", "config", "get", "tiny:word").stdout.strip() == "hush"
    up = clone.ronron("pulumi", "production", "--", "up", "--yes", "--skip-preview")
    assert up.returncode == 0, up.stdout + up.stderr
    assert (clone.world / "lamp").read_text() == "made\n"
    # The state is the one that a pass uses.
    assert list((clone.root / "ronron" / "pulumi-state").rglob("ours.json"))


def test_while_a_pass_works_on_the_stack_only_what_reads_runs(clone: Clone) -> None:
    clone.ronron("pulumi", "production", "--", "stack", "init", "ours")
    with clone.locked():
        refused = clone.ronron("pulumi", "production", "--", "up", "--yes")
        assert refused.returncode == 4
        assert "locked by ronron watch" in refused.stderr
        assert clone.ronron("pulumi", "production", "--", "stack", "ls").returncode == 0
    assert not (clone.world / "lamp").exists()


def test_the_exit_code_is_pulumis_and_what_is_missing_is_named(clone: Clone) -> None:
    missing = clone.ronron("pulumi", "production", "--", "preview")
    assert missing.returncode == 1
    assert "`ronron pulumi production -- stack init ours`" in missing.stderr
    clone.ronron("pulumi", "production", "--", "stack", "init", "ours")
    assert clone.ronron("pulumi", "production", "--", "up", "--no-such-option").returncode == 1
    unknown = clone.ronron("pulumi", "prodution", "--", "up")
    assert unknown.returncode == 2
    assert "use production" in unknown.stderr


def test_outside_of_a_clone_it_runs_at_the_revision_that_is_followed(clone: Clone) -> None:
    repository, elsewhere = clone.root / "repository.git", clone.root / "elsewhere"
    elsewhere.mkdir()
    refused = clone.ronron("pulumi", "production", "--", "stack", "ls", at=elsewhere)
    assert refused.returncode == 2
    assert "change into your clone" in refused.stderr
    clone.ronron("pulumi", "production", "--", "stack", "init", "ours")
    git("init", "--quiet", "--initial-branch=main", ".", at=clone.checkout)
    git("add", "--all", at=clone.checkout)
    git("commit", "--quiet", "--message", "Begin", at=clone.checkout)
    git("clone", "--quiet", "--bare", str(clone.checkout), str(repository), at=clone.root)
    known = {"RONRON_REPOSITORY": str(repository)}
    listed = clone.ronron("pulumi", "production", "--", "stack", "ls", at=elsewhere, **known)
    assert "ours*" in listed.stdout, listed.stderr
    refused = clone.ronron("pulumi", "production", "--", "config", "set", "a", "b", at=elsewhere, **known)
    assert refused.returncode == 2, "what it writes would be lost"


def test_pulumi_has_the_persons_terminal(clone: Clone) -> None:
    clone.ronron("pulumi", "production", "--", "stack", "init", "ours")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [RONRON, "pulumi", "production", "--", "destroy", "--yes", "--skip-preview"],
        cwd=clone.checkout,
        env={**clone.shell, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as running:
        os.close(theirs)
        said = b""
        while more := _read(ours):
            said += more
        assert running.wait(PATIENCE) == 0, said
    os.close(ours)
    assert b"\x1b[" in said, "colours are for terminals only"


def test_a_stop_lets_pulumi_finish_what_it_does(clone: Clone) -> None:
    clone.ronron("pulumi", "production", "--", "stack", "init", "ours")
    clone.hold("lamp")
    with subprocess.Popen(
        [RONRON, "pulumi", "production", "--", "up", "--yes", "--skip-preview"],
        cwd=clone.checkout,
        env=clone.shell,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as running:
        try:
            clone.await_begun("lamp")
            running.terminate()
        finally:
            clone.let_go("lamp")
        said, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode not in {0, 4}, said
    assert (clone.world / "lamp").read_text() == "made\n"
    assert not list((clone.root / "ronron" / "pulumi-state").rglob("locks/**/*.json"))


def _read(terminal: int) -> bytes:
    ready, _, _ = select.select([terminal], [], [], PATIENCE)
    try:
        return os.read(terminal, 4096) if ready else b""
    except OSError:  # how a terminal ends whose other side was closed
        return b""
