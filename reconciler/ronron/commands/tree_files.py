"""The policy and the stack files of a working tree, and how a stack file is replaced.

A file is replaced as a whole or not at all, and only where nobody else changed it in the meantime.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ronron.core.errors import ConfigError
from ronron.passes.targets import config_dir
from ronron.policy.load import Policies, load_policies
from ronron.policy.notations import nearest, quoted
from ronron.policy.yaml_edit import LARGEST
from ronron.policy.yaml_text import read_yaml

BOM = "\ufeff"


@dataclass(frozen=True)
class WorkingTree:
    """A working tree whose policy can be read.

    Args:
        top: where the policy file's path begins.
        policies: of its environments.
        config_dir: where the project keeps its stack files, below the project.
        project_name: name of the Pulumi project.
    """

    top: Path
    policies: Policies
    config_dir: str
    project_name: str

    @property
    def environments(self) -> tuple[str, ...]:
        """The environments of the policy, in its order."""
        return tuple(self.policies.environments)

    def environment(self, name: str | None, command: str) -> str:
        """The environment of a name, its own or its stack's; without a name the only one.

        Args:
            name: None where the person named none.
            command: the command as the hint shows it, with the environment's place as `{}`.

        Raises:
            ConfigError: there is no such environment, or none was named and there are several.
        """
        if name is not None:
            if name in self.policies.environments:
                return name
            # The program knows stacks, so its hints name those.
            owners = [one for one, policy in self.policies.environments.items() if policy.stack == name]
            if owners:
                return owners[0]
            raise self.unknown(name)
        if len(self.environments) == 1:
            return self.environments[0]
        raise ConfigError(
            f"cannot choose an environment: the policy has {', '.join(self.environments)}",
            where=self.policies.file,
            hint=f"name one: {command.format(self.environments[0])}",
        )

    def unknown(self, name: str) -> ConfigError:
        """The error for a name that no environment has."""
        near = nearest(name, self.environments)
        return ConfigError(
            f"cannot find the environment {quoted(name)}",
            where=self.policies.file,
            hint=f"use {near}" if near else f"use one of: {', '.join(self.environments)}",
        )

    def stack(self, environment: str) -> str:
        """The stack of an environment."""
        return self.policies.named(environment).stack

    def stack_file(self, environment: str) -> str:
        """The path of an environment's stack file below the top."""
        file = PurePosixPath(self.policies.project, self.config_dir, f"Pulumi.{self.stack(environment)}.yaml")
        return str(file)

    @property
    def project(self) -> Path:
        """The directory of the Pulumi project."""
        return self.top / self.policies.project


NAME_THE_TOP = "write it, or name the top of the repository with --directory"
"""The hint for a missing file, for commands with that option."""


def open_tree(top: Path, policy_file: str, *, hint: str = NAME_THE_TOP) -> WorkingTree:
    """Read the policy of a working tree.

    Args:
        top: of the working tree.
        policy_file: the policy's path below it.
        hint: what a person does about a file that is missing.

    Raises:
        ConfigError: the policy or the project file is missing or wrong.
    """
    policies = load_policies(read_text(top, policy_file, hint), file=policy_file)
    project_file = str(PurePosixPath(policies.project, "Pulumi.yaml"))
    text = read_text(top, project_file, hint)
    name = read_yaml(text, file=project_file).values.get("name")
    return WorkingTree(top, policies, config_dir(text, file=project_file), str(name))


def read_text(tree: Path, file: str, hint: str = NAME_THE_TOP) -> str:
    """The text of a file of a working tree, with its own line ends.

    Raises:
        ConfigError: it cannot be read, or is no UTF-8 text.
    """
    try:
        with (tree / file).open("rb") as opened:
            return opened.read(LARGEST + 1).decode()
    except FileNotFoundError:
        raise ConfigError("cannot find it", where=file, hint=hint) from None
    except OSError as error:
        raise ConfigError(
            f"cannot read it: {error.strerror}", where=file, hint="fix its permissions"
        ) from error
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text", where=file, hint="save it as UTF-8") from None


def write_text(tree: Path, file: str, before: str, after: str) -> None:
    """Replace a file as a whole; its permissions stay.

    Args:
        tree: top of the working tree.
        file: its path below that.
        before: the text that was read.
        after: the text to write.

    Raises:
        ConfigError: somebody changed it in the meantime, or it cannot be written; it is as it was.
    """
    if read_text(tree, file) != before:
        raise ConfigError(
            "cannot write it: it was changed in the meantime", where=file, hint="run the command again"
        )
    place = (tree / file).resolve()
    written: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=place.parent, prefix=f".{place.name}.", delete=False) as new:
            written = Path(new.name)
            new.write(after.encode())
            new.flush()
            os.fsync(new.fileno())
        written.chmod(place.stat().st_mode & 0o7777)
        written.replace(place)
    except OSError as error:
        if written is not None:
            written.unlink(missing_ok=True)
        raise ConfigError(
            f"cannot write it: {error.strerror}", where=file, hint="fix its permissions, or make room"
        ) from error
