"""A real sshd in a container, behind which the Docker of this machine listens."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from docker.models.containers import Container

from tests.support.backup_targets import packed
from tests.support.built_images import ensure_image
from tests.support.containers import Containers, said, until
from toolchain.image_recipes import DEBIAN
from toolchain.images import ensure_debian

PORT = 2222
SOCKET = Path("/var/run/docker.sock")

_DOCKERFILE = f"""
FROM {DEBIAN.tag}
RUN export DEBIAN_FRONTEND=noninteractive \\
 && apt-get update \\
 && apt-get install --yes --no-install-recommends openssh-server \\
 && apt-get clean \\
 && rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_* \\
 && mkdir -p /run/sshd /home/tech/.ssh \\
 && useradd --home-dir /home/tech --shell /bin/sh tech
LABEL org.opencontainers.image.title="An sshd, for tests"
"""


@dataclass(frozen=True)
class Sshd:
    """Where it listens, and who gets in.

    Args:
        address: as an inventory names it.
        host_key: its public key, as an inventory pins it.
        key: file with the private key of the only user.
        container: that it runs in.
    """

    address: str
    host_key: str
    key: Path
    container: Container


def sshd(here: Containers, place: Path) -> Sshd:
    """Start it.

    Args:
        here: what the test makes.
        place: a directory for keys.
    """
    ensure_debian()
    image = ensure_image("sshd-of-tests", packed({"Dockerfile": _DOCKERFILE.encode()}), base=DEBIAN.tag)
    host_key, key = new_key(place / "host"), new_key(place / "user")
    made = here.create(
        image,
        # Whoever may use the socket on this machine has a number that Debian may have given to another group.
        ["sh", "-ec", f"groupadd -o -g {SOCKET.stat().st_gid} dockers; usermod -aG dockers tech;"
         f" exec /usr/sbin/sshd -D -e -p {PORT} -h /etc/ssh/host"],
        network=here.network(),
        volumes={str(SOCKET): {"bind": str(SOCKET), "mode": "rw"}},
    )  # fmt: skip
    assert made.put_archive("/etc/ssh", packed({"host": host_key.read_bytes()}, mode=0o600))
    public = key.with_suffix(".pub").read_bytes()
    assert made.put_archive("/home/tech/.ssh", packed({"authorized_keys": public}))
    made.start()
    until(lambda: "Server listening" in said(made), made)
    words = host_key.with_suffix(".pub").read_text().split()
    return Sshd(f"ssh://tech@{_address(made)}:{PORT}", " ".join(words[:2]), key, made)


def new_key(path: Path) -> Path:
    """A new pair of keys without a passphrase; the public one is beside it."""
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)]
    subprocess.run(words, check=True, timeout=30)
    return path


@contextmanager
def ssh_agent(place: Path, *keys: Path) -> Iterator[Path]:
    """An ssh-agent with these keys, by its socket: ssh takes no home directory from the environment."""
    socket = place / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL) as child:
        try:
            end = time.monotonic() + 30
            while not socket.is_socket():
                assert child.poll() is None
                assert time.monotonic() < end
                time.sleep(0.02)
            environment = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
            for key in keys:
                subprocess.run(
                    ["ssh-add", "-q", str(key)], check=True, timeout=30, env=environment, capture_output=True
                )
            yield socket
        finally:
            child.terminate()


def _address(container: Container) -> str:
    container.reload()
    networks = container.attrs["NetworkSettings"]["Networks"]
    return str(next(iter(networks.values()))["IPAddress"])
