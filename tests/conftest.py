"""For all tests."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

pytest_plugins = [
    "tests.support.plugin",
    "tests.support.levels",
    "tests.support.recipe_proofs",
    "tests.support.side_by_side",
]

# A shell lets what it runs in the background ignore SIGINT, and every process of a test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes tells how busy the machine is, and nothing about the code.
settings.register_profile("ronron", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ronron")
