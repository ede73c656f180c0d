"""The plugin for Proxmox VE, the compiled official one and the stand-in, on the engine and a fake API."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.providers.place import Kind, kinds, plugin_environment
from tests.support.fake_proxmox import FakeProxmox, fake_proxmox
from tests.support.proxmox_project import ProxmoxProject
from tests.support.proxmox_wanted import image, vm


@pytest.fixture(params=kinds())
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture
def proxmox(tmp_path: Path) -> Iterator[FakeProxmox]:
    with fake_proxmox(tmp_path) as fake:
        yield fake


@pytest.fixture
def project(kind: Kind, tmp_path: Path, proxmox: FakeProxmox) -> ProxmoxProject:
    plugin = plugin_environment(kind, tmp_path / "plugin", ca=proxmox.ca)
    return ProxmoxProject(tmp_path / "project", {**os.environ, **plugin}, proxmox)


@pytest.fixture
def live(project: ProxmoxProject) -> ProxmoxProject:
    """A project in which image and machine are live."""
    project.declare(image(), vm())
    done = project.up()
    assert done.steps == {"image": "created", "vm": "created"}, done.said
    return project
