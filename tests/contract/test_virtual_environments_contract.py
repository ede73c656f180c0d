"""The contract of ports.VirtualEnvironments. The real adapter installs tiny wheels, without a network."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest

from ronron.adapters.processes import LinuxProcesses
from ronron.adapters.virtual_environments.environments import UvEnvironments
from ronron.core.errors import PackagesError
from ronron.ports import VirtualEnvironments
from ronron.testing import FakeVirtualEnvironments, RecordingProgress
from tests.support.wheels import lock_of, tiny_wheel


class Site(Protocol):
    """A machine with virtual environments, and a project in a checkout."""

    environments: VirtualEnvironments
    project: Path
    wheels: Path


class FakeSite:
    def __init__(self, root: Path) -> None:
        self.environments: VirtualEnvironments = FakeVirtualEnvironments(root / "environments")
        self.project, self.wheels = root / "project", root / "wheels"


class RealSite(FakeSite):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.environments = UvEnvironments(
            *(root / "environments", LinuxProcesses(), RecordingProgress()),
            find_links=str(self.wheels),
            inherited={**os.environ, "UV_OFFLINE": "1", "UV_CACHE_DIR": str(root / "cache")},
        )


@pytest.fixture(params=["fake", "uv"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    found = FakeSite(tmp_path) if request.param == "fake" else RealSite(tmp_path)
    found.project.mkdir()
    declare(found)
    locks(found, "1.0")
    return found


def declare(site: Site, runtime: str = "python") -> None:
    (site.project / "Pulumi.yaml").write_text(f"name: tiny\nruntime: {runtime}\n")


def locks(site: Site, version: str) -> None:
    """Have the project's lock file pin a version."""
    wheel = tiny_wheel(site.wheels, "tiny", version)
    (site.project / "requirements.lock").write_text(lock_of(wheel))


def test_a_project_with_a_lock_file_has_one(site: Site) -> None:
    with site.environments.of(site.project) as first:
        assert first is not None
        assert first.programs == first.directory / "bin"
        os.fstat(first.in_use)
    (kept,) = site.environments.kept()
    assert kept.name == first.directory.name
    assert abs(datetime.now(UTC) - kept.used) < timedelta(minutes=1)


def test_the_same_lock_file_has_the_same_one_and_another_has_another(site: Site) -> None:
    with site.environments.of(site.project) as first, site.environments.of(site.project) as again:
        assert first is not None
        assert again is not None
        assert first.directory == again.directory
    locks(site, "2.0")
    with site.environments.of(site.project) as second:
        assert second is not None
        assert second.directory != first.directory
    assert {each.name for each in site.environments.kept()} == {first.directory.name, second.directory.name}


@pytest.mark.parametrize(
    "runtime",
    ["nodejs", "{name: python, options: {virtualenv: venv}}", "{name: python, options: {toolchain: uv}}"],
)
def test_a_project_that_is_run_otherwise_has_none(site: Site, runtime: str) -> None:
    declare(site, runtime)
    with site.environments.of(site.project) as found:
        assert found is None
    assert site.environments.kept() == ()


def test_a_project_without_a_lock_file_and_a_clone_of_ronron_have_none(site: Site) -> None:
    (site.project / "chatons").symlink_to("components/chatons")
    (site.project / "components" / "chatons").mkdir(parents=True)
    with site.environments.of(site.project) as found:
        assert found is None
    (site.project / "chatons").unlink()
    (site.project / "requirements.lock").unlink()
    with site.environments.of(site.project) as found:
        assert found is None


def test_a_lock_file_that_pins_nothing_is_refused(site: Site) -> None:
    (site.project / "requirements.lock").write_text("# nothing\n")
    with pytest.raises(PackagesError) as refused, site.environments.of(site.project):
        pass
    assert (refused.value.where, refused.value.retryable) == ("requirements.lock", False)


def test_one_in_use_is_not_removed(site: Site) -> None:
    with site.environments.of(site.project) as found:
        assert found is not None
        name = found.directory.name
        assert site.environments.remove(name) is False
    assert site.environments.remove(name) is True
    assert site.environments.kept() == ()
    assert site.environments.remove(name) is False


def test_one_that_was_removed_is_made_again(site: Site) -> None:
    with site.environments.of(site.project) as first:
        assert first is not None
    site.environments.remove(first.directory.name)
    with site.environments.of(site.project) as again:
        assert again is not None
        assert again.directory == first.directory
