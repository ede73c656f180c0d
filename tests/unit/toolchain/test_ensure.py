"""`python -m toolchain ensure`: from the machine, else downloaded, else built; and that once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ronron.installation import read_installed
from tests.support.download_site import Site, archive
from tests.support.stand_ins import bare_path, engine_on_machine, engine_script, go_script, program
from toolchain import versions

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Machine:
    """A machine with next to nothing on it; the toolchain runs there as a process of its own."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def bin(self) -> Path:
        return bare_path(self.folder / "bin")

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": str(self.bin),
            "HOME": str(self.folder / "home"),
            "RONRON_CACHE": str(self.cache),
            "RONRON_PULUMI_DOWNLOADS": "none",
            "RONRON_INSTALLATION": str(self.folder / "installation.json"),
            "DOCKER_HOST": f"unix://{self.folder}/none.sock",
            **self.settings,
        }

    @property
    def built(self) -> list[str]:
        calls = self.folder / "calls"
        return sorted(calls.read_text().split()) if calls.exists() else []

    def has_go(self, *, version: str = "go1.99.0", build: str = "") -> None:
        script = go_script(self.folder / "calls", self.folder / "source", version=version, build=build)
        program(self.bin / "go", script)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "toolchain", *words],
            cwd=ROOT,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site(versions.ENGINE)
    yield made
    made.close()


OFFICIAL = archive(
    ("pulumi/pulumi", f"#!/bin/sh\n{engine_script(versions.ENGINE)}\n".encode()),
    ("pulumi/pulumi-language-python", b"host"),
    ("pulumi/pulumi-language-python-exec", b"script"),
    ("pulumi/pulumi-resource-pulumi-python", b"dynamic"),
)
EVERYTHING = ["pulumi", "pulumi-language-python", "pulumi-resource-docker"]
PROXMOX = "pulumi-resource-proxmoxve"
PROXMOX_FILE = f"resource-proxmoxve-v{versions.PROXMOXVE_PLUGIN}/{PROXMOX}"


def test_what_no_site_gives_is_built_and_the_second_time_nothing_is(machine: Machine) -> None:
    machine.has_go()
    code, out, err = machine.run("ensure")
    assert (code, err) == (0, "")
    assert "no downloads (RONRON_PULUMI_DOWNLOADS is `none`)" in out
    assert f"engine: {versions.ENGINE} (built)" in out
    assert f"language host: {versions.LANGUAGE_HOST} (built)" in out
    assert f"docker plugin: {versions.DOCKER_PLUGIN} (built)" in out
    assert machine.built == EVERYTHING
    code, out, err = machine.run("ensure")
    assert (code, err) == (0, "")
    assert "building" not in out
    assert machine.built == EVERYTHING


def test_an_engine_on_the_machine_is_taken_before_any_other(machine: Machine, site: Site) -> None:
    site.publish(OFFICIAL)
    machine.settings["RONRON_PULUMI_DOWNLOADS"] = site.address
    engine_on_machine(machine.bin, versions.ENGINE_MINIMUM)
    code, out, _ = machine.run("ensure")
    assert code == 0
    assert f"engine: {versions.ENGINE_MINIMUM} (machine), {machine.bin}/pulumi" in out
    assert f"docker plugin: {versions.DOCKER_PLUGIN} (download)" in out
    assert f"/{site.name}" not in site.asked


@pytest.mark.parametrize(("version", "with_host"), [("3.100.0", True), (versions.ENGINE, False)])
def test_an_engine_that_is_too_old_or_has_no_language_host_is_passed_over(
    machine: Machine, version: str, with_host: bool
) -> None:
    engine_on_machine(machine.bin, version, with_host=with_host)
    machine.has_go()
    code, out, _ = machine.run("ensure")
    assert code == 0
    assert f"engine: {versions.ENGINE} (built)" in out


def test_downloads_are_taken_before_building(machine: Machine, site: Site) -> None:
    site.publish(OFFICIAL)
    machine.settings["RONRON_PULUMI_DOWNLOADS"] = site.address
    machine.has_go()
    code, out, err = machine.run("ensure")
    assert (code, err) == (0, "")
    assert "downloaded, checksum verified" in out
    assert f"engine: {versions.ENGINE} (download)" in out
    assert f"docker plugin: {versions.DOCKER_PLUGIN} (download)" in out
    assert machine.built == []


def test_a_forged_download_is_told_and_the_piece_is_built(machine: Machine, site: Site) -> None:
    site.publish(OFFICIAL, published=b"another archive")
    machine.settings["RONRON_PULUMI_DOWNLOADS"] = site.address
    machine.settings["NO_PLUGINS"] = "1"
    machine.has_go()
    code, out, _ = machine.run("ensure")
    assert code == 0
    assert "engine: no download (127.0.0.1: the SHA-256 sum" in out
    assert f"engine: {versions.ENGINE} (built)" in out
    assert machine.built == EVERYTHING


def test_a_plugin_that_the_engine_cannot_download_is_built(machine: Machine, site: Site) -> None:
    site.publish(OFFICIAL)
    machine.settings |= {"RONRON_PULUMI_DOWNLOADS": site.address, "NO_PLUGINS": "1"}
    machine.has_go()
    code, out, _ = machine.run("ensure")
    assert code == 0
    assert "docker plugin: no download (the engine cannot download it)" in out
    assert machine.built == ["pulumi-resource-docker"]


def test_the_proxmox_plugin_is_built_only_where_it_is_asked_for(machine: Machine) -> None:
    machine.has_go()
    assert machine.run("ensure")[0] == 0
    assert machine.built == EVERYTHING
    code, out, err = machine.run("ensure", "proxmox")
    assert (code, err) == (0, "")
    assert f"proxmox plugin: {versions.PROXMOXVE_PLUGIN} (built)" in out
    assert machine.built == sorted([*EVERYTHING, PROXMOX])
    assert machine.run("ensure", "proxmox")[0] == 0
    assert machine.built == sorted([*EVERYTHING, PROXMOX])


def test_the_proxmox_plugin_comes_along_where_downloads_answer(machine: Machine, site: Site) -> None:
    site.publish(OFFICIAL)
    machine.settings["RONRON_PULUMI_DOWNLOADS"] = site.address
    code, out, err = machine.run("ensure")
    assert (code, err) == (0, "")
    assert f"proxmox plugin: {versions.PROXMOXVE_PLUGIN} (download)" in out


def test_a_proxmox_plugin_that_cannot_be_downloaded_is_not_built_by_the_way(
    machine: Machine, site: Site
) -> None:
    site.publish(OFFICIAL)
    machine.settings |= {"RONRON_PULUMI_DOWNLOADS": site.address, "NO_PLUGINS": "1"}
    machine.has_go()
    code, out, err = machine.run("ensure")
    assert (code, err) == (0, "")
    assert "proxmox plugin: no download" in out
    assert machine.built == ["pulumi-resource-docker"]
    assert [made.name for made in machine.cache.glob("plugins-proxmoxve-*")] == []


def test_the_engine_finds_all_plugins_in_one_folder(machine: Machine) -> None:
    machine.has_go()
    assert machine.run("ensure", "proxmox")[0] == 0
    plugins = _plugins(machine)
    for file in (f"resource-docker-v{versions.DOCKER_PLUGIN}/pulumi-resource-docker", PROXMOX_FILE):
        assert (plugins / file).is_file()
        assert not (plugins / file).parent.is_symlink()  # the engine passes over a folder that is one


def test_plugins_that_lie_together_on_the_machine_are_taken_from_there(machine: Machine) -> None:
    machine.has_go()
    assert machine.run("ensure", "proxmox")[0] == 0
    home = machine.folder / "home/.pulumi/plugins"
    for name, version in (("docker", versions.DOCKER_PLUGIN), ("proxmoxve", versions.PROXMOXVE_PLUGIN)):
        program(home / f"resource-{name}-v{version}/pulumi-resource-{name}", "exit 0")
    assert machine.run("ensure", "proxmox")[0] == 0
    assert _plugins(machine) == home


def test_a_docker_plugin_that_is_recreated_is_put_together_with_the_other_again(machine: Machine) -> None:
    machine.has_go()
    assert machine.run("ensure", "proxmox")[0] == 0
    for made in machine.cache.glob("plugins-docker-*"):
        shutil.rmtree(made)
    assert machine.run("ensure")[0] == 0
    plugins = _plugins(machine)
    assert (plugins / f"resource-docker-v{versions.DOCKER_PLUGIN}/pulumi-resource-docker").is_file()
    assert (plugins / PROXMOX_FILE).is_file()


def test_without_go_one_line_says_what_to_install(machine: Machine) -> None:
    code, _, err = machine.run("ensure")
    assert code == 1
    assert "error: cannot build pulumi: there is no go\n" in err
    assert f"hint: install Go {versions.GO_MINIMUM} or newer" in err
    assert "Traceback" not in err


def test_a_go_that_is_too_old_is_named_with_its_version(machine: Machine) -> None:
    machine.has_go(version="go1.19.8")
    code, _, err = machine.run("ensure")
    assert code == 1
    assert "cannot build pulumi with Go 1.19.8" in err
    assert machine.built == []


def test_a_build_that_fails_shows_its_end_and_keeps_what_was_made(machine: Machine) -> None:
    machine.has_go(build='[ "$name" = pulumi-resource-docker ] && { echo no space left >&2; exit 2; }')
    code, _, err = machine.run("ensure")
    assert code == 1
    assert "no space left" in err
    assert "hint: " in err
    assert machine.built == ["pulumi", "pulumi-language-python"]
    machine.has_go()
    assert machine.run("ensure")[0] == 0
    assert machine.built == EVERYTHING


def test_two_runs_at_once_build_each_piece_once(machine: Machine) -> None:
    machine.has_go(build="sleep 0.3")
    first, second = machine.start("ensure"), machine.start("ensure")
    told = [process.communicate(timeout=60) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), told
    assert machine.built == EVERYTHING


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_stops_its_builds_and_the_next_one_goes_on(
    machine: Machine, number: signal.Signals
) -> None:
    pid = machine.folder / "pid"
    machine.has_go(build=f'[ "$name" = pulumi ] && {{ echo $$ > {pid}; sleep 300; }}')
    process = machine.start("ensure")
    end = time.monotonic() + 20
    while not (pid.exists() and pid.read_text().endswith("\n")) and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert "stopped; run it again" in err
    assert "Traceback" not in err
    builder = int(pid.read_text())
    end = time.monotonic() + 10
    while _is_alive(builder) and time.monotonic() < end:
        time.sleep(0.01)
    assert not _is_alive(builder)
    machine.has_go()
    assert machine.run("ensure")[0] == 0
    assert list((machine.cache / ".making").iterdir()) == []


def test_a_word_that_is_unknown_is_refused(machine: Machine) -> None:
    code, _, err = machine.run("ensure", "everything")
    assert code == 2
    assert "choose `pieces`, `proxmox`, `images` or `tests`" in err


def test_a_cache_that_cannot_be_written_is_one_message(machine: Machine) -> None:
    machine.has_go()
    machine.cache.write_text("a file where the cache should be")
    code, _, err = machine.run("ensure")
    assert code == 1
    assert "set RONRON_CACHE to a folder that you may write to" in err
    assert "Traceback" not in err


def test_the_environment_of_what_was_made_can_be_taken_over_by_a_shell(machine: Machine) -> None:
    machine.has_go()
    assert machine.run("ensure")[0] == 0
    code, out, err = machine.run("env")
    assert (code, err) == (0, "")
    script = """
        eval "$1"
        for name in pulumi pulumi-language-python go; do command -v $name; done
        echo "$RONRON_PULUMI_PLUGINS"
        echo "$PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"
        echo "${PATH%%:*}"
    """
    shell = subprocess.run(
        ["sh", "-c", script, "sh", out],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    )
    engine, host, go, plugins, offline, first = shell.stdout.splitlines()
    assert Path(engine).is_relative_to(machine.cache)
    assert Path(host).is_relative_to(machine.cache)
    assert go == str(machine.bin / "go")
    assert (Path(plugins) / f"resource-docker-v{versions.DOCKER_PLUGIN}/pulumi-resource-docker").is_file()
    assert offline == "true"
    assert first == str(Path(sys.executable).parent)


def test_the_reconciler_reads_where_everything_is(machine: Machine) -> None:
    machine.has_go()
    machine.run("ensure")
    found = read_installed(machine.folder / "installation.json", machine.environ)
    (engine,) = found.engines
    assert (engine / "pulumi").is_relative_to(machine.cache)
    (plugins,) = found.plugins
    assert next(plugins.glob("resource-docker-v*/pulumi-resource-docker")).is_file()
    assert not found.downloads, "the plugin was built, because no download answered"


def test_there_is_no_environment_before_the_pieces_are_there(machine: Machine) -> None:
    code, out, err = machine.run("env")
    assert (code, out) == (1, "")
    assert "the Pulumi engine or its Python language host is missing" in err
    assert "hint: run `make setup` in the clone" in err


def _plugins(machine: Machine) -> Path:
    code, out, _ = machine.run("env")
    assert code == 0
    shell = subprocess.run(
        ["sh", "-c", 'eval "$1"; printf %s "$RONRON_PULUMI_PLUGINS"', "sh", out],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(shell.stdout)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False
