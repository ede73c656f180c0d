"""From an empty home to a pad by the service: the commands of docs/operations.md, read from the page and run.

Addresses of the page are replaced by those of this machine, and images come from a registry of the test.
systemd does not run here: its command gets what systemd would give it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import docker
import httpx
import pytest
from ruamel.yaml import YAML

from tests.support.collectives import PROJECT, Collective
from tests.support.containers import Containers, containers_of_a_test
from tests.support.documented import DOCS, Shell, commands, each_command
from tests.support.image_registry import Registry, registry
from tests.support.units import SYSTEMD_PATH, command_of, given_by_systemd
from toolchain import debian
from toolchain.cache import Cache, cache_root

pytestmark = pytest.mark.timeout(900)

PAGE, SECTION = "operations.md", "Set up the first service"
GET, REPOSITORY, ADD, PUSH, SERVICE = range(5)
"""The blocks of commands of the section, in order."""
MOST_COMMANDS = 15
LIVE_SECONDS = 300
STOP_SECONDS = 60


@pytest.fixture
def here() -> Iterator[Containers]:
    yield from containers_of_a_test()


@pytest.fixture
def images(here: Containers, images: Mapping[str, str]) -> Iterator[Registry]:
    """The images of the path, in a registry on this machine."""
    served = registry(here, "bridge", images)
    yield served
    with closing(docker.from_env()) as engine:
        for image in engine.images.list():
            for name in [*image.attrs["RepoTags"], *image.attrs["RepoDigests"]]:
                if name.startswith(f"{served.outside}/"):
                    with suppress(docker.errors.ImageNotFound):
                        engine.images.remove(name, force=True)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home directory, with the name of its person for git."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".gitconfig").write_text(
        "[user]\nname = A newcomer\nemail = newcomer@ronron.invalid\n"
    )
    return tmp_path / "home"


def outside(images: Registry, role: str) -> str:
    """The reference of an image on this machine."""
    return images.images[role].replace(images.address, images.outside)


@pytest.fixture
def person(home: Path, images: Registry, collective: Collective) -> Shell:
    """A shell of a newcomer: nothing is set but how this machine reaches packages, and where caches are."""
    kept = ("SSL_CERT_FILE", "DOCKER_HOST", "RONRON_PULUMI_DOWNLOADS")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_"))}
    environment |= {
        "PATH": SYSTEMD_PATH,
        "RONRON_CACHE": str(cache_root()),
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv"),
    }
    words = {
        "https://example.org/your-collective/ronron.git": f"{PROJECT} ronron",
        "https://example.org/your-collective/infrastructure.git": str(collective.repository),
        "pad.collective.example": f"pad.localhost --image {outside(images, 'etherpad')}",
        "sudo tee /etc/systemd/system/ronron.service": f"tee {home}/ronron.service",
    }
    return Shell(home, environment, words)


def edit(repository: Path, collective: Collective, images: Registry) -> None:
    """What the page tells the person to edit, and what makes two collectives fit on one machine."""
    yaml = YAML()
    project, stack = repository / "Pulumi.yaml", repository / "stacks" / "Pulumi.ours.yaml"
    project.write_text(re.sub(r"^name: \S+", f"name: {collective.name}", project.read_text(), flags=re.M))
    declared = yaml.load(stack)
    config = declared["config"]
    config["ronron:collective"]["name"] = "A newcomer's collective"
    config["ronron:edge"] = {
        "image": outside(images, "edge"), "tls": "off", "bind": "127.0.0.1", "http_port": collective.port,
    }  # fmt: skip
    config["ronron:database"]["image"] = outside(images, "postgres")
    config["ronron:backup"]["repository"] = str(collective.snapshots)
    yaml.dump(declared, stack)


@contextmanager
def service(unit: str, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command of the unit with exactly what the unit gives; it is stopped as systemd stops it."""
    environ = given_by_systemd(unit, str(home))
    with (home / "journal").open("wb") as journal:
        running = subprocess.Popen(command_of(unit), cwd="/", env=environ, stdout=journal, stderr=journal)
        try:
            yield running
        finally:
            running.send_signal(signal.SIGTERM)
            try:
                running.wait(STOP_SECONDS)
            finally:
                running.kill()


def test_a_newcomer_gets_a_pad_by_the_service(
    person: Shell, home: Path, collective: Collective, images: Registry
) -> None:
    """Takes over a minute: it sets up a clone, builds a wheel and a virtual environment, and starts a pad."""
    blocks = commands(PAGE, SECTION)
    assert len(blocks) == SERVICE + 1, "the names at the top of this module are those of the blocks"
    for block in (GET, REPOSITORY):
        ran = person.run(blocks[block])
        assert ran.code == 0, ran.said
    assert "✓ engine" in person.run("ronron doctor").out, "without anything else on PATH"
    edit(home / "infrastructure", collective, images)
    for block in (ADD, PUSH):
        ran = person.run(blocks[block])
        assert ran.code == 0, ran.said

    unit_command, enable = each_command(blocks[SERVICE])
    ran = person.run(unit_command)
    assert ran.code == 0, ran.said
    assert enable == "sudo systemctl enable --now ronron"
    unit = home / "ronron.service"
    if shutil.which("systemd-analyze") is None:
        debian.install(["systemd"], cache=Cache(cache_root()), progress=print)
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")

    with service(unit.read_text(), home) as running:
        end = time.monotonic() + LIVE_SECONDS
        while person.run("ronron status").code != 0:
            assert running.poll() is None, (home / "journal").read_text()
            assert time.monotonic() < end, (home / "journal").read_text()
            time.sleep(1)
        answer = httpx.get(
            f"http://127.0.0.1:{collective.port}/", headers={"Host": "pad.localhost"}, follow_redirects=True
        )
        assert answer.status_code == 200
        assert "etherpad" in answer.text.lower()
        # The person's shell and the service have one state.
        assert "ours*" in person.run("ronron pulumi ours -- stack ls").out
    assert running.returncode == 0, (home / "journal").read_text()


def test_the_path_is_short_and_needs_no_engine_by_hand() -> None:
    typed = [command for block in commands(PAGE, SECTION) for command in each_command(block)]
    assert len(typed) <= MOST_COMMANDS
    assert not [command for command in typed if re.match(r"(sudo )?(pulumi|docker)\b|.*\burn:", command)]


def test_the_page_names_no_engine_by_hand_anywhere() -> None:
    page = (DOCS / PAGE).read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", page, re.MULTILINE | re.DOTALL)
    typed = [command for block in blocks for command in each_command(block)]
    assert typed
    assert [command for command in typed if re.match(r"(sudo )?(pulumi|docker) |.*\burn:", command)] == []
