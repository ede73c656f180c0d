"""Real servers that agents put snapshots into: sshd, restic's REST protocol, S3."""

from __future__ import annotations

from dataclasses import dataclass

from docker.models.containers import Container

from tests.support.backup_targets import packed
from tests.support.built_images import ensure_image
from tests.support.containers import Containers, runs, said, until
from toolchain import s3_gateway
from toolchain.cache import Cache, cache_root
from toolchain.image_recipes import DEBIAN
from toolchain.images import ensure_debian

_SERVER = """
FROM {base}
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \\
      openssh-server rclone && rm -rf /var/lib/apt/lists/* && mkdir -p /run/sshd && \\
    useradd -m -s /bin/sh keeper
"""


def build_server() -> str:
    """An image with sshd and with rclone, which serves restic's REST protocol; its tag."""
    ensure_debian()
    text = _SERVER.format(base=DEBIAN.tag).encode()
    return ensure_image("backup-server", packed({"Dockerfile": text}), base=DEBIAN.tag)


@dataclass(frozen=True)
class SshServer:
    """A real sshd that lets the user `keeper` in by one key.

    Attributes:
        container: where it runs; repositories are below /home/keeper.
        host_key: as an agent's document has it.
        key: the private one.
    """

    container: Container
    host_key: str
    key: str


def ssh_server(here: Containers, image: str, network: str) -> SshServer:
    """Start an sshd in a network."""
    script = (
        "ssh-keygen -q -t ed25519 -N '' -f /etc/key && install -d -m 700 -o keeper /home/keeper/.ssh && "
        "install -m 600 -o keeper /etc/key.pub /home/keeper/.ssh/authorized_keys && touch /run/ready && "
        "exec /usr/sbin/sshd -D -e"
    )
    container = here.start(image, ["sh", "-c", script], network=network)
    until(lambda: runs(container, "test", "-e", "/run/ready")[0] == 0, container)
    host_key = runs(container, "cut", "-d ", "-f1,2", "/etc/ssh/ssh_host_ed25519_key.pub")[1].strip()
    return SshServer(container, host_key, runs(container, "cat", "/etc/key")[1])


def rest_server(here: Containers, image: str, network: str, *words: str) -> Container:
    """Start a server of restic's REST protocol on port 8080; its login is `agent:pass/word`."""
    command = [
        "rclone",
        "serve",
        "restic",
        "--addr",
        ":8080",
        "--user",
        "agent",
        "--pass",
        "pass/word",
        *words,
    ]
    container = here.start(image, [*command, "/srv"], network=network)
    until(lambda: "Serving restic REST API" in said(container), container)
    return container


def s3_server(here: Containers, image: str, network: str) -> Container:
    """Start an S3 server on port 7070 with the bucket `backups`; its login is `keyid:secret/key`."""
    program = s3_gateway.ensure(Cache(cache_root()), print)
    container = here.start(
        image,
        [
            "sh", "-c", "mkdir -p /srv/s3/backups && exec versitygw --port :7070 posix /srv/s3",
        ],
        network=network,
        volumes={str(program): {"bind": "/usr/local/bin/versitygw", "mode": "ro"}},
        environment={"ROOT_ACCESS_KEY": "keyid", "ROOT_SECRET_KEY": "secret/key"},
    )  # fmt: skip
    until(lambda: runs(container, "bash", "-c", ": < /dev/tcp/127.0.0.1/7070")[0] == 0, container)
    return container
