"""The files of the demo: one directory outside the clone, removed by `down`."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent
"""The clone that this demo was started from; the demo only reads it."""

NAME = "ronron"
"""Of the project in the clone's Pulumi.yaml."""
STACK = "local"
BRANCH = "main"
MARK = "ronron-demo"
"""Name of the file that marks the demo's directory: `down` removes no other."""


@dataclass(frozen=True)
class Places:
    """The demo's files, all below one directory."""

    root: Path
    name: str = NAME
    """Prefix of everything that the demo makes in Docker."""

    @classmethod
    def default(cls) -> Places:
        """RONRON_DEMO, or a directory beside this user's other state; RONRON_DEMO_NAME for a second demo."""
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        root = Path(os.environ.get("RONRON_DEMO") or state / "ronron-demo").absolute()
        return cls(root, os.environ.get("RONRON_DEMO_NAME") or NAME)

    @property
    def repository(self) -> Path:
        """The bare repository that the reconciler watches."""
        return self.root / "repository.git"

    @property
    def collective(self) -> Path:
        """The working copy of a member who commits and pushes."""
        return self.root / "collective"

    @property
    def state(self) -> Path:
        """The reconciler's state, with the Pulumi state in it."""
        return self.root / "state"

    @property
    def snapshots(self) -> Path:
        """The repositories of the backups. Their files belong to root, as the agents run as root."""
        return self.root / "snapshots"

    @property
    def pulumi_state(self) -> Path:
        """The directory of the Pulumi state, where `ronron` has it by default."""
        return self.state / "pulumi-state"

    @property
    def passphrase(self) -> Path:
        """The file with the passphrase of the stack's secrets."""
        return self.root / "passphrase"

    @property
    def watch_log(self) -> Path:
        """The output of the watcher."""
        return self.root / "watch.log"

    @property
    def watch_process(self) -> Path:
        """The PID and start time of the watcher."""
        return self.root / "watch.json"

    @property
    def project_file(self) -> Path:
        """The collective's Pulumi.yaml."""
        return self.collective / "Pulumi.yaml"

    @property
    def stack_file(self) -> Path:
        """The collective's declaration."""
        return self.collective / "stacks" / f"Pulumi.{STACK}.yaml"

    def prepare(self) -> None:
        """Make the directory and the passphrase, once."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.root / MARK).touch()
        # Pulumi does not create the directory of a file backend.
        self.pulumi_state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.passphrase.exists():
            descriptor = os.open(self.passphrase, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as opened:
                opened.write(secrets.token_urlsafe(24))

    def ronron_environment(self) -> dict[str, str]:
        """The variables with which `ronron` uses the demo."""
        return {
            "RONRON_REPOSITORY": str(self.repository),
            "RONRON_STATE": str(self.state),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.passphrase),
            "RONRON_SETTINGS_FILE": "",  # a person's own settings are not the demo's
        }

    def pulumi_environment(self) -> dict[str, str]:
        """The variables with which `pulumi`, in the clone, uses the demo: backend, stack and stack file."""
        return {
            "PULUMI_HOME": str(self.state / "pulumi-home"),
            "PULUMI_BACKEND_URL": f"file://{self.pulumi_state}",
            "PULUMI_STACK": STACK,
            "PULUMI_OPTION_CONFIG_FILE": str(self.stack_file),
        }
