"""The edge of a machine, its reverse proxy: Caddy, with TLS and the routes to its services."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import bcrypt
import pulumi
import pulumi_docker as docker

from chatons.catalogue.description import Health
from chatons.docker.containers import (
    Attachment,
    ContainerArgs,
    Mount,
    container,
    data_volume,
    image,
    require_provider,
)
from chatons.schema.models import Collective, Members
from chatons.schema.models import Edge as DeclaredEdge
from chatons.service.caddyfile import HEALTH_PORT, MEMBERS_FILE, Route, caddyfile

_CADDYFILE = "/etc/caddy/Caddyfile"
_CERTIFICATES = PurePosixPath("/data")
_SETTINGS = PurePosixPath("/config")
_COST = 12
"""Of bcrypt; a quarter of a second, once for each password that Caddy sees, which it remembers afterwards."""


@dataclass(frozen=True, kw_only=True)
class EdgeArgs:
    """Arguments of an Edge."""

    declared: DeclaredEdge
    collective: Collective
    routes: Sequence[Route]
    networks: Sequence[pulumi.Input[str]]
    """The private networks of the services behind the routes."""
    members: Members | None
    members_password: pulumi.Output[str] | None
    """A secret; None when nobody enters by the shared login."""
    name: str
    """The physical name; its volumes are called after it."""
    labels: Mapping[str, str]


class Edge(pulumi.ComponentResource):
    """The reverse proxy of a machine. It has no access to Docker, and depends on no service."""

    container: docker.Container

    def __init__(self, name: str, args: EdgeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("chatons:index:Edge", name, {}, opts)
        require_provider(self)
        certificates = data_volume(f"{name}-certificates", f"{args.name}-certificates", parent=self)
        settings = data_volume(f"{name}-settings", f"{args.name}-settings", parent=self)
        self.container = container(
            name,
            ContainerArgs(
                name=args.name,
                image=image(name, args.declared.image, parent=self).image_id,
                labels={**args.labels, "ronron.role": "edge"},
                networks=[Attachment(network) for network in args.networks],
                uploads=_files(args),
                mounts=[Mount(certificates.name, str(_CERTIFICATES)), Mount(settings.name, str(_SETTINGS))],
                ports=_ports(args.declared),
                # The upstream binary carries this capability, and would not even start without it.
                capabilities=("CAP_NET_BIND_SERVICE",),
                memory_mib=args.declared.memory_mib,
                cpus=args.declared.cpus,
                health=Health(
                    test=("CMD", "wget", "-q", "-O", "/dev/null", f"http://127.0.0.1:{HEALTH_PORT}/"),
                    interval=5,
                    start_period=10,
                ),
                wait_seconds=60,
                grace_seconds=15,
            ),
            parent=self,
        )
        self.register_outputs({"container": self.container.name})


def password_hash(password: str, context: str) -> str:
    """A bcrypt hash that stays the same as long as its arguments do, so that previews show no change.

    The salt comes from the context, which is public, and never from the password: it stands in the hash in
    clear, and must not be a quicker way to try passwords than bcrypt is.

    Args:
        password: 72 bytes at most.
        context: tells this use apart from any other, so that equal passwords have different hashes.
    """
    seed = hashlib.sha256(context.encode()).digest()[:16]
    letters = base64.b64encode(seed, altchars=b"./").rstrip(b"=").decode()
    return bcrypt.hashpw(password.encode(), f"$2b${_COST}${_bcrypt_letters(letters)}".encode()).decode()


def _bcrypt_letters(text: str) -> str:
    """From the letters of base64 to those of bcrypt, which stand in another order."""
    usual = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./"
    own = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return text.translate(str.maketrans(usual, own))


def _files(args: EdgeArgs) -> list[docker.ContainerUploadArgs]:
    files = [
        docker.ContainerUploadArgs(
            file=_CADDYFILE,
            content=caddyfile(
                edge=args.declared,
                routes=args.routes,
                members=args.members,
                collective=args.collective.name,
                contact=args.collective.contact,
            ),
            permissions="0444",
        )
    ]
    if args.members is not None and args.members.basic is not None and args.members_password is not None:
        user = args.members.basic.user
        context = f"{args.name}/{user}"
        line = args.members_password.apply(lambda password: f"{user} {password_hash(password, context)}\n")
        files.append(
            docker.ContainerUploadArgs(
                file=MEMBERS_FILE, content=pulumi.Output.secret(line), permissions="0400"
            )
        )
    return files


def _ports(edge: DeclaredEdge) -> list[docker.ContainerPortArgs]:
    """The same numbers inside and outside, so that Caddy's redirections are right."""
    numbers = [edge.http_port] if edge.tls == "off" else [edge.http_port, edge.https_port]
    return [
        docker.ContainerPortArgs(internal=number, external=number, ip=edge.bind, protocol="tcp")
        for number in sorted(numbers)
    ]
