"""From one declaration and a cluster without machines to a pad that answers on a machine of its own.

Real: the engine, Proxmox VE's plugin where it can be had, ssh, Debian with systemd, the Docker that is
installed there, the registry that it pulls from, the services. Proxmox VE itself is a fake: it starts a
container in the place of the machine that it was asked for.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from tests.providers.place import kinds, plugin_environment
from tests.support.collectives import Collective, Document, Ran
from tests.support.containers import Containers, containers_of_a_test
from tests.support.declarations import DATA, HOST_KEY, VM
from tests.support.fake_proxmox import IMAGE, IMAGE_CHECKSUM, FakeProxmox, fake_proxmox
from tests.support.guest import Guest, guest
from tests.support.image_registry import Registry, registry
from tests.support.plain import ETHERPAD_SECRETS, PlainStack, etherpad
from tests.support.ssh_to_docker import ssh_agent

pytestmark = pytest.mark.timeout(900)

NAME = "pica01"
OTHER_IMAGE = "https://images.test.example/debian-13-genericcloud-amd64-20261203-2400.qcow2"


@dataclass(frozen=True)
class MaintainedStack(PlainStack):
    """The same for whoever may make machines: a plugin that trusts the cluster, and a key that lets in."""

    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """See PlainStack."""
        return {**super().environment, **self.more}


@dataclass
class Chain:
    """All that stands between a declaration and its pad.

    Attributes:
        machine: what starts when the cluster starts the machine.
        registry: where that one pulls from.
    """

    cluster: FakeProxmox
    machine: Guest
    registry: Registry
    stack: MaintainedStack
    token: Document

    def declare(self, *, title: str = "Before", **more: Any) -> None:
        """Say what there is to be: one machine and a pad on it.

        Args:
            title: of the pad.
            more: what differs in the machine.
        """
        collective, images = self.stack.collective, self.registry.images
        token: dict[str, Any] = {"proxmox-token": self.token}
        machine: Document = {
            **VM,
            "address": f"{self.machine.address}/{self.machine.prefix}",
            "gateway": self.machine.gateway,
            "image": {"url": IMAGE, "checksum": IMAGE_CHECKSUM},
            "keys": [self.machine.public_key],
            "data": DATA,
            **more,
        }
        collective.declare(
            {"pad": {**etherpad(images, title=title), "machine": NAME}},
            *ETHERPAD_SECRETS,
            machines={NAME: {"proxmox": machine}},
            proxmox={"endpoint": self.cluster.endpoint},
            edge={"image": images["edge"], "tls": "off", "http_port": collective.port, "bind": "0.0.0.0"},  # noqa: S104
            database={"image": images["postgres"]},
            **token,
        )

    def title(self) -> str:
        """Of the pad, as a visitor of the machine sees it."""
        port = self.stack.collective.port
        answer = httpx.get(
            f"http://{self.machine.address}:{port}/", headers={"Host": f"pad.localhost:{port}"}, timeout=20
        )
        assert answer.status_code == 200, answer.text
        return answer.text.partition("<title>")[2].partition("</title>")[0].strip()

    def ronron(self, *words: str) -> Ran:
        """Have the reconciler do it, on the state that the maintainer has used."""
        collective = self.stack.collective
        more = {**self.stack.more, "PULUMI_BACKEND_URL": f"file://{self.stack.backend}"}
        # A visitor of pad.localhost comes to the loopback address, and so does the probe.
        with self.machine.on_loopback(collective.port):
            return collective.ronron(*words, seconds=300, **more)

    def containers(self) -> dict[str, str]:
        """Id of each container on the machine by its name, without the collective's own."""
        mine = f"{self.stack.collective.name}-local-"
        there = self.machine.docker_client().containers.list(all=True)
        return {str(each.name).removeprefix(mine): str(each.id) for each in there}


@pytest.fixture(scope="module")
def here() -> Iterator[Containers]:
    yield from containers_of_a_test()


@pytest.fixture(scope="module")
def chain(
    here: Containers,
    found_for_module: Callable[[], Collective],
    images: Mapping[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Chain]:
    """A cluster without machines. The tests below go in the order of the machine's life."""
    root = tmp_path_factory.mktemp("chain")
    with (
        tempfile.TemporaryDirectory(prefix="ronron-test-") as short,
        fake_proxmox(root) as cluster,
        guest(here, Path(short)) as machine,
        ssh_agent(Path(short), machine.key) as agent,
    ):
        network = next(iter(machine.container.attrs["NetworkSettings"]["Networks"]))
        source = registry(here, network, {role: images[role] for role in ("edge", "postgres", "etherpad")})
        machine.shell("mkdir -p /etc/docker")
        machine.put("/etc/docker/daemon.json", json.dumps({"insecure-registries": [source.address]}))
        collective = found_for_module()
        stack = MaintainedStack(
            collective,
            more={
                **plugin_environment(kinds()[0], root / "bin", ca=cluster.ca),
                "SSH_AUTH_SOCK": str(agent),
            },
        )
        token = sealed(stack, cluster.token)
        cluster.agent_addresses(VM["vm_id"], ["127.0.0.1", machine.address])
        with started_by(cluster, machine):
            yield Chain(cluster, machine, source, stack, token)


def sealed(stack: PlainStack, token: str) -> Document:
    """A secret of its own, as the engine writes it into the stack's file."""
    stack.collective.declare({})
    stack.begin()
    ran = stack.pulumi("config", "set", "--secret", "ronron:proxmox-token", token, "--stack", "local")
    assert ran.code == 0, ran.said
    file = stack.collective.tree / "stacks" / "Pulumi.local.yaml"
    found: Document = YAML(typ="safe").load(file.read_text())["config"]["ronron:proxmox-token"]
    return found


@contextmanager
def started_by(cluster: FakeProxmox, machine: Guest) -> Iterator[None]:
    """Have the cluster's start of a machine press the button of what stands in its place."""
    machine.container.stop(timeout=30)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            found = cluster.vm(VM["vm_id"])
            if found is not None and found.status == "running":
                machine.container.start()
                machine.data_disk("ronron-data", 4000)
                return

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join(60)


def test_one_update_leads_from_the_api_to_a_pad_that_answers_on_the_machine(chain: Chain) -> None:
    """Takes over a minute: a bare Debian gets its packages and Docker, then pulls and starts a pad."""
    chain.declare()
    ran = chain.stack.up()
    assert ran.code == 0, ran.said
    assert chain.title() == "Before"
    assert [path for method, path, _ in chain.cluster.changes if method == "POST" and path.endswith("/qemu")]
    assert set(chain.containers()) == {"pad", "pad-database", "edge"}
    assert chain.stack.collective.containers() == {}, "nothing was made on the Docker of this machine"
    assert str(chain.machine.docker_client().info()["DockerRootDir"]).startswith("/srv/ronron-data")
    inventory = chain.stack.inventory()["machines"][NAME]
    assert inventory["docker"] == f"ssh://ronron@{chain.machine.address}"
    assert inventory["host_key"] == chain.machine.host_key


def test_a_second_update_changes_nothing(chain: Chain) -> None:
    before = chain.containers()
    assert chain.stack.changes() == set()
    chain.cluster.forget_requests()
    ran = chain.stack.up()
    assert ran.code == 0, ran.said
    assert "created" not in ran.out
    assert chain.cluster.changes == []
    assert chain.containers() == before
    assert chain.stack.changes() == set()


def test_what_is_merged_is_live_on_the_machine(chain: Chain) -> None:
    # No watcher probes between these passes.
    chain.stack.collective.policy(local={"probe_every": "1h"})
    chain.stack.collective.push()
    taken_over = chain.ronron("update", "local")
    assert taken_over.code == 0, taken_over.said
    assert "unchanged" in taken_over.said
    before = chain.containers()

    chain.declare(title="Merged")
    chain.stack.collective.push("Name the pad")
    merged = chain.ronron("watch", "--once")
    assert merged.code == 0, merged.said
    assert chain.title() == "Merged"
    after = chain.containers()
    assert {name for name in before if after[name] != before[name]} == {"pad"}

    again = chain.ronron("watch", "--once")
    assert again.code == 0, again.said
    assert chain.containers() == after
    assert chain.ronron("status", "local").code == 0


def test_what_the_cluster_refuses_is_said_and_mended_by_the_next_pass(chain: Chain) -> None:
    before = chain.containers()
    chain.declare(title="Merged", cores=6)
    chain.stack.collective.push("Give it more cores")
    with chain.cluster.fault("locked", vm_id=VM["vm_id"]):
        refused = chain.ronron("update", "local")
    assert refused.code == 1, refused.said
    assert "locked" in refused.said
    assert "previewed" not in refused.said

    mended = chain.ronron("update", "local")
    assert mended.code == 0, mended.said
    found = chain.cluster.vm(VM["vm_id"])
    assert found is not None
    assert {**found.config, **found.pending}["cores"] == 6
    assert chain.containers() == before
    assert chain.title() == "Merged"


def test_cores_and_memory_are_changed_in_place_while_the_pad_answers(chain: Chain) -> None:
    before = chain.containers()
    chain.declare(title="Merged", cores=8, memory_mib=16384)
    assert chain.stack.changes() == {f"VmLegacy {NAME}"}
    ran = chain.stack.up()
    assert ran.code == 0, ran.said
    assert "replaced" not in ran.out
    assert chain.containers() == before
    assert chain.title() == "Merged"
    found = chain.cluster.vm(VM["vm_id"])
    assert found is not None
    assert {**found.config, **found.pending}["cores"] == 8


def test_edits_of_user_data_image_and_keys_replace_nothing(chain: Chain) -> None:
    before = chain.containers()
    checksum = chain.cluster.image(OTHER_IMAGE, b"QFI\xfb another")
    chain.cluster.do(lambda inside: inside.store_file("local", "first-boot.yaml", 12, "snippets"))
    chain.declare(
        title="Merged",
        image={"url": OTHER_IMAGE, "checksum": checksum},
        keys=[chain.machine.public_key, HOST_KEY],
        user_data="local:snippets/first-boot.yaml",
    )
    ran = chain.stack.up()
    assert ran.code == 0, ran.said
    assert "replaced" not in ran.out
    assert chain.containers() == before
    assert chain.title() == "Merged"
    assert chain.stack.changes() == set()


def test_a_machine_that_shows_another_key_is_not_trusted(chain: Chain) -> None:
    known, before = chain.machine.host_key, chain.containers()
    saved = chain.machine.shell("cat /etc/ssh/ssh_host_ed25519_key")
    chain.machine.new_host_key()
    chain.declare(title="After")
    ran = chain.stack.up()
    assert ran.code != 0
    assert f"the host key of {NAME}" in ran.said
    # The SDK may add the traceback of its own failed call; what is wrong is said without one.
    assert "pulumi/dynamic/" not in ran.said
    chain.machine.put("/etc/ssh/ssh_host_ed25519_key", saved)
    chain.machine.put("/etc/ssh/ssh_host_ed25519_key.pub", known)
    chain.machine.shell("chmod 600 /etc/ssh/ssh_host_ed25519_key; systemctl restart ssh")
    assert chain.containers() == before
    assert chain.title() == "Merged"
