"""A machine with Docker answering on it, as the engine sees it."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.ssh import SshAddress, ssh_options


@dataclass(frozen=True, kw_only=True)
class DockerHostArgs:
    """Arguments of a DockerHost; checked by the declaration."""

    docker: str
    """unix:///path or ssh://user@host."""
    host_key: str | None = None
    """Needed with ssh."""


class DockerHost(pulumi.ComponentResource):
    """A machine with Docker answering on it."""

    provider: docker.Provider
    """The way in; everything on this machine is made through it."""

    def __init__(self, name: str, args: DockerHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("chatons:index:DockerHost", name, {}, opts)
        self.provider = docker.Provider(
            name,
            host=args.docker,
            ssh_opts=_ssh(args),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"docker": args.docker})


def _ssh(args: DockerHostArgs) -> list[str] | None:
    if not args.docker.startswith("ssh://"):
        return None
    if args.host_key is None:
        raise ValueError("a Docker reached by ssh needs the machine's host key")
    return ssh_options(SshAddress.parse(args.docker), args.host_key)
