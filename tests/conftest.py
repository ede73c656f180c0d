"""For all tests."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

pytest_plugins = [
    "tests.support.plugin",
    "tests.support.levels",
    "tests.support.recipe_proofs",
    "tests.support.side_by_side",
]

# What a person's file of settings says is not for tests; a test names a file of its own.
os.environ["RONRON_SETTINGS_FILE"] = ""

# A shell lets what it runs in the background ignore SIGINT, and every process of a test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes tells how busy the machine is, and nothing about the code.
settings.register_profile("ronron", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ronron")
