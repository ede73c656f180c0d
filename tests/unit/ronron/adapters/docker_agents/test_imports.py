"""Docker's SDK is imported with the first call, not when the adapters are made."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from ronron.adapters.docker_agents.backups import DockerBackups
from ronron.adapters.docker_agents.machines import DockerMachines
DockerBackups(), DockerMachines()
sys.exit("docker" in sys.modules)
"""


def test_making_the_adapters_does_not_import_the_sdk() -> None:
    assert subprocess.run([sys.executable, "-c", PROGRAM], check=False).returncode == 0
