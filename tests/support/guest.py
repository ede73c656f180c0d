"""A guest for tests: a container of Debian with systemd, sshd and, after the setup, its own Docker.

Everything is real except two things: a fake cloud-init prints what a test configures, and the data disk is a
file behind a loop device with the name that udev would give to a disk with that serial.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import docker
from docker.models.containers import Container

from tests.support.backup_targets import packed
from tests.support.built_images import ensure_image
from tests.support.containers import Containers, put, runs
from tests.support.ssh_to_docker import new_key
from toolchain.image_recipes import DEBIAN
from toolchain.images import ensure_debian

USER = "ronron"

_BOOT = r"""#!/bin/sh
# Gives systemd and Docker settings and control groups that they may write to, and loop devices.
set -eu
mount -o remount,rw /sys
umount /proc/sys /proc/sysrq-trigger 2>/dev/null || true
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    mount -o remount,rw /sys/fs/cgroup
else
    mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
    while IFS=: read -r _ kinds _; do
        case $kinds in
        "") folder=unified type=cgroup2 options= ;;
        name=systemd) folder=systemd type=cgroup options=none,name=systemd ;;
        *) folder=$kinds type=cgroup options=$kinds ;;
        esac
        mkdir -p "/sys/fs/cgroup/$folder"
        mount -t "$type" ${options:+-o "$options"} cgroup "/sys/fs/cgroup/$folder"
    done </proc/self/cgroup
fi
[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
for number in $(seq 0 31); do
    [ -e "/dev/loop$number" ] || mknod "/dev/loop$number" b 7 "$number"
done
exec /lib/systemd/systemd --log-target=console
"""

_CLOUD_INIT = r"""#!/bin/sh
# A double of cloud-init: `cloud-init status --wait --long` as the file says.
[ "$1" = status ] || exit 64
if [ -f /etc/cloud-init-fails ]; then
    echo "status: error"
    cat /etc/cloud-init-fails
    exit 1
fi
echo "status: done"
"""

_DOCKERFILE = f"""
FROM {DEBIAN.tag}
RUN export DEBIAN_FRONTEND=noninteractive \\
 && rm -f /usr/sbin/policy-rc.d \\
 && apt-get update \\
 && apt-get install --yes --no-install-recommends \\
    systemd systemd-sysv dbus openssh-server sudo iproute2 python3 e2fsprogs fdisk \\
 && apt-get install --yes --no-install-recommends --download-only \\
    docker.io apparmor ca-certificates qemu-guest-agent unattended-upgrades nftables \\
 && rm -f /etc/ssh/ssh_host_* \\
 && useradd --create-home --shell /bin/sh {USER} \\
 && echo '{USER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{USER} \\
 && mkdir -p -m 0700 /root/.ssh /home/{USER}/.ssh && chown {USER} /home/{USER}/.ssh
COPY boot /usr/local/sbin/boot
COPY cloud-init /usr/bin/cloud-init
LABEL org.opencontainers.image.title="The inside of a virtual machine, for tests"
STOPSIGNAL SIGRTMIN+3
CMD ["/usr/local/sbin/boot"]
"""

_CAPABILITIES = [
    "AUDIT_CONTROL", "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID",
    "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD",
    "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID",
    "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO",
    "SYS_TIME", "SYS_TTY_CONFIG",
]  # fmt: skip
"""Almost all. `privileged` requests every capability and fails where the engine itself lacks one."""


@dataclass
class Guest:
    """A machine that has started, without Docker at first.

    Attributes:
        address: IP address on a bridge of this machine.
        gateway: IP address of the bridge.
        prefix: prefix length of the network, in bits.
        key: file with the private key for a login as `user` or root.
        container: the container that simulates the machine.
        place: directory for sockets.
    """

    address: str
    gateway: str
    prefix: int
    key: Path
    container: Container
    place: Path
    user: str = USER
    _client: docker.DockerClient | None = field(default=None, repr=False)
    _tunnel: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def host_key(self) -> str:
        """The current public host key."""
        return " ".join(self.runs("cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()[:2])

    @property
    def public_key(self) -> str:
        """The public key of `user`, as in the `keys` of a declaration."""
        return " ".join(self.key.with_suffix(".pub").read_text().split()[:2])

    def runs(self, *words: str) -> str:
        """Run a program inside as root; its output."""
        code, output = runs(self.container, *words)
        assert code == 0, output
        return output

    def shell(self, text: str) -> str:
        """Run shell code inside as root; its output."""
        return self.runs("sh", "-euc", text)

    def put(self, path: str, content: str) -> None:
        """Write a file."""
        put(self.container, path, content)

    def new_host_key(self) -> None:
        """Replace the host key, as on a replaced machine."""
        self.shell(
            "rm -f /etc/ssh/ssh_host_ed25519_key*; ssh-keygen -q -t ed25519 -N '' -f"
            " /etc/ssh/ssh_host_ed25519_key; systemctl restart ssh"
        )

    def data_disk(self, serial: str, mib: int = 2000) -> str:
        """Attach an empty sparse disk; its device.

        Call it again after a restart, which removes the name.
        """
        image = f"/disk-{serial}.img"
        return self.shell(
            # After a start, the machine creates its devices first.
            f"until [ -e /dev/loop31 ]; do sleep 0.1; done; [ -e {image} ] || truncate -s {mib}M {image};"
            f" disk=$(losetup --noheadings --output NAME --associated {image});"
            f' [ -n "$disk" ] || disk=$(losetup --find --show {image});'
            f" mkdir -p /dev/disk/by-id; ln -sf $disk /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_{serial};"
            " echo $disk"
        ).strip()

    def restart(self) -> None:
        """Stop and start the machine, as with its power button."""
        self.disconnect()
        self.container.restart(timeout=30)

    def docker_client(self) -> docker.DockerClient:
        """A client of its Docker, over a tunnel of its own and not through the code under test."""
        if self._client is None:
            self.disconnect()
            end = self.place / "docker.sock"
            self._tunnel = self._forward(f"{end}:/run/docker.sock", end.is_socket)
            self._client = docker.DockerClient(base_url=f"unix://{end}", timeout=120)
        return self._client

    @contextmanager
    def on_loopback(self, port: int) -> Iterator[None]:
        """Forward a port of this machine's loopback address to the same port of the guest."""

        def open_() -> bool:
            with socket.socket() as visitor:
                return visitor.connect_ex(("127.0.0.1", port)) == 0

        tunnel = self._forward(f"127.0.0.1:{port}:127.0.0.1:{port}", open_)
        try:
            yield
        finally:
            tunnel.terminate()
            tunnel.wait(30)

    def _forward(self, route: str, is_open: Callable[[], bool]) -> subprocess.Popen[bytes]:
        tunnel = subprocess.Popen(
            ["ssh", "-N", "-i", str(self.key), "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes",
             "-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR",
             "-o", "ControlPath=none", "-o", "ExitOnForwardFailure=yes", "-L", route, f"root@{self.address}"],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + 30
        while not is_open():
            assert tunnel.poll() is None, f"cannot forward {route}"
            assert time.monotonic() < end
            time.sleep(0.05)
        return tunnel

    def load(self, images: Sequence[str]) -> None:
        """Load images of this machine's Docker into its Docker."""
        outside = self.container.client
        assert outside is not None
        for image in images:
            self.docker_client().images.load(outside.images.get(image).save(named=True))  # type: ignore[arg-type]

    def disconnect(self) -> None:
        """Close the connection to its Docker."""
        if self._client is not None:
            self._client.close()
        if self._tunnel is not None:
            self._tunnel.terminate()
            self._tunnel.wait(30)
        (self.place / "docker.sock").unlink(missing_ok=True)
        self._client = self._tunnel = None

    def close(self) -> None:
        """Close the connection and detach its disks: loop devices belong to the shared kernel."""
        self.disconnect()
        runs(self.container, "systemctl", "stop", "docker.socket", "docker")
        runs(
            self.container, "sh", "-c",
            "umount /srv/ronron-data/docker /srv/ronron-data; for image in /disk-*.img;"
            " do for disk in $(losetup --noheadings --output NAME --associated $image);"
            " do losetup --detach $disk; done; done",
        )  # fmt: skip


@contextmanager
def guest(here: Containers, place: Path) -> Iterator[Guest]:
    """Start a guest; it is removed with the other containers of the test.

    Args:
        here: the containers of the test.
        place: a directory with a short path, for keys and sockets.
    """
    image = build_guest()
    key = new_key(place / "user")
    network = here.client.networks.create(
        f"{here.prefix}-guest-{key.stat().st_ino}", labels={"ronron.test": here.prefix}
    )
    made = here.create(
        image,
        cap_add=_CAPABILITIES,
        cgroupns="private",
        device_cgroup_rules=["a *:* rwm"],
        hostname="vm01",
        network=network.name,
        security_opt=["seccomp=unconfined", "apparmor=unconfined"],
        tmpfs={"/run": "", "/run/lock": "", "/tmp": ""},  # noqa: S108
        volumes={here.volume(): {"bind": "/var/lib/docker", "mode": "rw"}},
    )
    public = key.with_suffix(".pub").read_bytes()
    for home in ("/root", f"/home/{USER}"):
        assert made.put_archive(f"{home}/.ssh", packed({"authorized_keys": public}))
    host_key = new_key(place / "host")
    assert made.put_archive("/etc/ssh", packed({"ssh_host_ed25519_key": host_key.read_bytes()}, mode=0o600))
    assert made.put_archive(
        "/etc/ssh", packed({"ssh_host_ed25519_key.pub": host_key.with_suffix(".pub").read_bytes()})
    )
    made.start()
    made.reload()
    found = next(iter(made.attrs["NetworkSettings"]["Networks"].values()))
    started = Guest(
        str(found["IPAddress"]), str(found["Gateway"]), int(found["IPPrefixLen"]), key, made, place
    )
    try:
        yield started
    finally:
        started.close()


def build_guest() -> str:
    """Build the image of the guest; it has the packages of Docker in the cache of apt."""
    ensure_debian()
    files = {"Dockerfile": _DOCKERFILE, "boot": _BOOT, "cloud-init": _CLOUD_INIT}
    archive = packed({name: text.encode() for name, text in files.items()}, mode=0o755)
    return ensure_image("guest-of-tests", archive, base=DEBIAN.tag)
