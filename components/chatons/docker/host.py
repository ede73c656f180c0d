"""A machine that runs Docker, as the engine sees it."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from chatons.machine.ssh import SshAddress, ssh_options


@dataclass(frozen=True, kw_only=True)
class DockerHostArgs:
    """Arguments of a DockerHost; checked by the declaration.

    For a machine that the stack creates, they are known once its Docker answers.
    """

    docker: pulumi.Input[str]
    """unix:///path or ssh://user@host."""
    host_key: pulumi.Input[str | None] = None
    """Required with ssh."""


class DockerHost(pulumi.ComponentResource):
    """A machine that runs Docker."""

    provider: docker.Provider
    """The Docker provider of this machine; every resource on it uses this one."""

    def __init__(self, name: str, args: DockerHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("chatons:index:DockerHost", name, {}, opts)
        self.provider = docker.Provider(
            name,
            host=args.docker,
            ssh_opts=_ssh(args),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"docker": args.docker})


def _ssh(args: DockerHostArgs) -> pulumi.Input[list[str] | None]:
    if isinstance(args.docker, str) and (args.host_key is None or isinstance(args.host_key, str)):
        return _options(args.docker, args.host_key)
    return pulumi.Output.all(args.docker, args.host_key).apply(lambda known: _options(*known))


def _options(address: str, host_key: str | None) -> list[str] | None:
    if not address.startswith("ssh://"):
        return None
    if host_key is None:
        raise ValueError("a Docker reached by ssh needs the machine's host key")
    return ssh_options(SshAddress.parse(address), host_key)
