"""What uv prints when it fails, and what people read instead. Each text was seen with uv 0.13.9."""

from __future__ import annotations

import pytest

from ronron.adapters.virtual_environments.causes import explain
from ronron.core.errors import PackagesError, PackagesUnavailableError

LOCK = "chatons==0.2.0 \\\n    --hash=sha256:8dd6\nsix==1.16.0 --hash=sha256:8abb\n"
AGAIN = "echo chatons==0.2.0 | uv pip compile --no-header --generate-hashes --no-emit-index-url"
NO_SOLUTION = (
    "Using Python 3.11.7 environment at: env\nerror: No solution found when resolving dependencies\n"
)

PERMANENT = [
    pytest.param(
        "error: Failed to download `six==1.16.0`\n  cause: Hash mismatch for `six==1.16.0`\n\n"
        "         Expected:\n           sha256:8abb\n\n         Computed:\n           sha256:4721\n",
        "cannot install six==1.16.0: what was found does not have the hash of the lock file",
        id="another hash",
    ),
    pytest.param(
        "error: In `--require-hashes` mode, all requirements must have a hash, but none were provided for: "
        "chatons==0.2.0\n",
        "cannot install chatons==0.2.0: the lock file has no hash of it",
        id="no hash",
    ),
    pytest.param(
        "error: Couldn't parse requirement in `t.lock` at position 0\n"
        '  cause: no such comparison operator "=!", must be one of ~= == != <= >= < > ===\n'
        "         chatons=!0.1.0\n                ^^^^^^^\n",
        'cannot read the lock file: no such comparison operator "=!", must be one of ~= == != <= >= < > ===',
        id="no requirement",
    ),
    pytest.param(
        "error: Unexpected '<', expected '-c', '-e', '-r' or the start of a requirement: t.lock:1:1\n",
        "cannot read the lock file: Unexpected '<', expected '-c', '-e', '-r' or the start of a requirement: "
        "t.lock:1:1",
        id="a conflict of git",
    ),
    pytest.param(
        NO_SOLUTION
        + "  cause: Because the current Python version (3.11.7) does not satisfy Python>=3.12 and "
        "django==6.0 depends on Python>=3.12, we can conclude that django==6.0 cannot be used.\n"
        "         And because you require django==6.0, we can conclude that your requirements are "
        "unsatisfiable.\n",
        "cannot install django==6.0: there is no wheel of it for this machine's Python",
        id="another Python",
    ),
    pytest.param(
        NO_SOLUTION + "  cause: Because pywin32==306 has no wheels with a matching platform tag (e.g., "
        "`manylinux_2_36_x86_64`) and you require pywin32==306, we can conclude that your requirements are "
        "unsatisfiable.\n",
        "cannot install pywin32==306: there is no wheel of it for this machine's Python",
        id="another platform",
    ),
]

PASSING = [
    pytest.param(
        NO_SOLUTION
        + "  cause: Because there is no version of chatons==0.2.0 and you require chatons==0.2.0, we "
        "can conclude that your requirements are unsatisfiable.\n",
        "cannot find chatons==0.2.0",
        "put its wheel into /srv/wheels, or correct the version in the lock file",
        id="no such version",
    ),
    pytest.param(
        NO_SOLUTION + "  cause: Because chatons was not found in the package registry and you require "
        "chatons==0.2.0, we can conclude that your requirements are unsatisfiable.\n",
        "cannot find chatons==0.2.0",
        "put its wheel into /srv/wheels, or correct the version in the lock file",
        id="no such package",
    ),
    pytest.param(
        NO_SOLUTION
        + "  cause: Because six was not found in the package registry and you require six==1.16.0, we "
        "can conclude that your requirements are unsatisfiable.\n\nhint: An index URL "
        "(http://index.example/simple) could not be queried due to a lack of valid "
        "authentication credentials (401 Unauthorized)\n",
        "cannot install a package: the package index refuses our credentials",
        "check UV_DEFAULT_INDEX in the environment of the reconciler",
        id="no credentials",
    ),
    pytest.param(
        "error: Failed to read `--find-links` directory: /srv/wheels\n"
        "  cause: No such file or directory (os error 2)\n",
        "cannot read the wheels in /srv/wheels",
        "make the directory readable, or name another one with RONRON_FIND_LINKS",
        id="no wheels",
    ),
    pytest.param(
        "error: Failed to fetch: http://index.example/simple/six/\n"
        "  cause: error sending request for url (http://index.example/simple/six/)\n"
        "  cause: client error (Connect)\n  cause: tcp connect error\n"
        "  cause: Connection refused (os error 111)\n",
        "cannot install six: the package index is unreachable: Connection refused (os error 111)",
        "check the network and UV_DEFAULT_INDEX, or name a directory of wheels with RONRON_FIND_LINKS",
        id="no network",
    ),
    pytest.param(
        "error: Failed to install: httpcore-1.0.9-py3-none-any.whl (httpcore==1.0.9)\n"
        "  cause: Failed to copy to `/state/httpcore/connection_pool.py`\n"
        "  cause: failed to copy file: No space left on device (os error 28)\n",
        "cannot install httpcore==1.0.9: no space left on device",
        "make room in the state directory and in ~/.cache/uv",
        id="a full disk",
    ),
    pytest.param(
        "error: Failed to initialize cache at `/proc/nope`\n"
        "  cause: failed to create directory `/proc/nope`: No such file or directory (os error 2)\n",
        "cannot write uv's cache /proc/nope",
        "make it writable, or name another directory with UV_CACHE_DIR",
        id="no cache",
    ),
    pytest.param(
        "error: Failed to build `pycurl==7.45.3`\n  cause: The build backend returned an error\n",
        "cannot build pycurl==7.45.3 on this machine: The build backend returned an error",
        "pin a version that has a wheel for this machine, or install what its build needs",
        id="a build",
    ),
    pytest.param(
        "error: the moon is full\n",
        "cannot install what it pins: the moon is full",
        "read uv's message",
        id="unknown",
    ),
    pytest.param("", "cannot install what it pins: uv printed nothing", "read uv's message", id="nothing"),
]


def explained(printed: str, find_links: str | None = "/srv/wheels", secret: str = "") -> PackagesError:
    error = explain(printed, lock=LOCK, find_links=find_links, secrets=[secret])
    assert error.where == "requirements.lock"
    return error


@pytest.mark.parametrize(("printed", "message"), PERMANENT)
def test_what_only_another_lock_file_mends_is_not_tried_again(printed: str, message: str) -> None:
    error = explained(printed)
    assert (error.message, error.retryable) == (message, False)
    assert f"{AGAIN} --find-links /srv/wheels - --output-file requirements.lock" in error.hint


@pytest.mark.parametrize(("printed", "message", "hint"), PASSING)
def test_everything_else_is_tried_again(printed: str, message: str, hint: str) -> None:
    error = explained(printed)
    assert isinstance(error, PackagesUnavailableError)
    assert (error.message, error.hint, error.retryable) == (message, hint, True)


def test_without_a_directory_of_wheels_the_hint_says_how_to_name_one() -> None:
    printed = "cause: Because there is no version of chatons==0.2.0 and you require chatons==0.2.0, we can\n"
    assert explained(printed, None).hint.startswith(
        "name the directory of its wheel with RONRON_FIND_LINKS, or "
    )


def test_no_credentials_are_shown() -> None:
    printed = (
        "error: Failed to fetch: https://bot:sesame@index.example/simple\n  cause: sesame-token refused\n"
    )
    error = explained(printed, "https://bot:sesame@wheels.example", secret="sesame-token")
    assert "sesame" not in f"{error} {error.hint}"
