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
from tests.support.saved_stack import SavedStack


@pytest.fixture(scope="session", params=kinds())
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


class Projects:
    """One project on one cluster, which begins again for every test.

    Args:
        kind: its plugin.
        root: an empty directory.
        proxmox: the cluster.
    """

    def __init__(self, kind: Kind, root: Path, proxmox: FakeProxmox) -> None:
        self.proxmox = proxmox
        plugin = plugin_environment(kind, root / "plugin", ca=proxmox.ca)
        self.project = ProxmoxProject(root / "project", {**os.environ, **plugin}, proxmox)
        self._nothing = self.project.saved(root / "nothing")
        self._kept = root / "live"
        self._live: SavedStack | None = None

    def empty(self) -> ProxmoxProject:
        """Nothing is made yet."""
        self._nothing.put_back()
        return self.project

    def live(self) -> ProxmoxProject:
        """Image and machine are live."""
        project = self.empty()
        project.declare(image(), vm())
        if self._live is None:
            done = project.up()
            assert done.steps == {"image": "created", "vm": "created"}, done.said
            self._live = project.saved(self._kept)
        self._live.put_back()
        return project


@pytest.fixture(scope="session")
def projects(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Projects]:
    root = tmp_path_factory.mktemp(kind)
    with fake_proxmox(root) as fake:
        yield Projects(kind, root, fake)


@pytest.fixture
def project(projects: Projects) -> ProxmoxProject:
    return projects.empty()


@pytest.fixture
def live(projects: Projects) -> ProxmoxProject:
    """A project in which image and machine are live."""
    return projects.live()


@pytest.fixture
def proxmox(projects: Projects) -> FakeProxmox:
    """The cluster of `project` or `live`, whichever a test asks for besides."""
    return projects.proxmox
