"""Which commands of Pulumi lock the stack, which need a working tree, and what Pulumi sees by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from ronron.adapters.pulumi_engine.by_hand import PulumiByHand, may_write, writes_a_file
from ronron.settings import EngineSettings


@pytest.mark.parametrize(
    ("command", "locks", "needs_tree"),
    [
        ("", False, False),
        ("up --yes", True, False),
        ("--non-interactive up", True, False),
        ("up --help", False, False),
        ("preview --diff", False, False),
        ("refresh --clear-pending-creates", True, False),
        ("destroy", True, False),
        ("cancel", True, False),
        ("import docker:index/volume:Volume a b", True, False),
        ("state unprotect URN", True, False),
        ("stack", False, False),
        ("stack ls", False, False),
        ("stack export", False, False),
        ("stack output inventory", False, False),
        ("stack import", True, False),
        ("stack init ours", True, True),
        ("stack rm ours", True, True),
        ("stack change-secrets-provider passphrase", True, True),
        ("config", False, False),
        ("config get ronron:edge", False, False),
        ("config set --secret ronron:word", False, True),
        ("config rm ronron:word", False, True),
        ("a-command-of-tomorrow", True, False),
    ],
)
def test_a_command_locks_the_stack_or_needs_a_working_tree(
    command: str, locks: bool, needs_tree: bool
) -> None:
    assert may_write(command.split()) is locks
    assert writes_a_file(command.split()) is needs_tree


def test_pulumi_sees_what_a_pass_sees_and_the_terminal(tmp_path: Path) -> None:
    settings = EngineSettings(home=tmp_path / "home", backend_url="file:///srv/state")
    shell = {
        "PATH": "/usr/bin",
        "TERM": "xterm",
        "EDITOR": "vi",
        "PULUMI_HOME": "/home/tech/.pulumi",
        "PULUMI_BACKEND_URL": "s3://elsewhere",
        "PULUMI_STACK": "another",
        "RONRON_EXCLUDE": "pica02",
        "RONRON_ACCEPT_EMPTY": "notes",
        "AWS_SECRET_ACCESS_KEY": "hush",
    }
    by_hand = PulumiByHand(
        settings,
        directory=tmp_path,
        stack="ours",
        environment="production",
        running="c" * 40,
        inherited=shell,
    )
    seen = by_hand.variables()
    assert (seen["TERM"], seen["EDITOR"]) == ("xterm", "vi")
    assert (seen["RONRON_EXCLUDE"], seen["RONRON_ACCEPT_EMPTY"]) == ("pica02", "notes")
    assert seen["PULUMI_HOME"] == str(tmp_path / "home")
    assert seen["PULUMI_BACKEND_URL"] == "file:///srv/state"
    assert (seen["PULUMI_STACK"], seen["RONRON_ENVIRONMENT"]) == ("ours", "production")
    assert seen["RONRON_REVISION"] == "c" * 40
    assert "NO_COLOR" not in seen
    assert "AWS_SECRET_ACCESS_KEY" not in seen
    assert "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER" not in seen, "`stack init` has to write the salt"
