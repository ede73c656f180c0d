"""Which environments there are: the policy as it stands in the source, joined with the project it is about.

The policy is read from one trusted reference only, never from the revision that an environment
follows: a branch cannot give itself more rights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ronron.core.errors import ConfigError
from ronron.core.model import Revision
from ronron.passes.reconcile import Target
from ronron.policy.load import load_policies
from ronron.policy.yaml_text import read_yaml
from ronron.ports import Source


@dataclass
class Targets:
    """Reads the policy from a source, and again only when its revision has moved.

    Args:
        source: refreshed by the caller.
        reference: where the policy is trusted, usually `HEAD`: the repository's default branch.
        file: the policy's path in the repository.
    """

    source: Source
    reference: str
    file: str
    _read: dict[str, Mapping[str, Target]] = field(default_factory=dict)

    def __call__(self) -> Mapping[str, Target]:
        """Every environment by name.

        Raises:
            ConfigError: the policy or the project file is missing or wrong.
            SourceError: it cannot be read.
        """
        revision = self.source.resolve(self.reference)
        if revision.commit not in self._read:
            self._read = {revision.commit: self._load(revision)}
        return self._read[revision.commit]

    def _load(self, revision: Revision) -> Mapping[str, Target]:
        text = self.source.read(revision, self.file)
        if text is None:
            raise ConfigError(
                f"cannot find the policy in {revision.short}",
                where=self.file,
                hint="commit one; the smallest is: environments: {local: {reference: main}}",
            )
        policies = load_policies(text, file=self.file)
        project_file = str(PurePosixPath(policies.project, "Pulumi.yaml"))
        project_text = self.source.read(revision, project_file)
        if project_text is None:
            raise ConfigError(
                f"cannot find a Pulumi project in {revision.short}",
                where=project_file,
                hint=f"say where it lies with the key project in {self.file}",
            )
        directory = config_dir(project_text, file=project_file)
        return {
            name: Target(policy=policy, project=policies.project, config_dir=directory)
            for name, policy in policies.environments.items()
        }


def config_dir(text: str, *, file: str) -> str:
    """Where a project keeps its stack files, below itself; `.` where it does not say.

    Args:
        text: of Pulumi.yaml.
        file: its path, for messages.

    Raises:
        ConfigError: it is not YAML, or names a place outside the project.
    """
    directory = read_yaml(text, file=file).values.get("stackConfigDir", ".")
    if (
        not isinstance(directory, str)
        or PurePosixPath(directory).is_absolute()
        or ".." in directory.split("/")
    ):
        raise ConfigError(
            f"stackConfigDir is {directory!r}", where=file, hint="name a directory below the project"
        )
    return directory
