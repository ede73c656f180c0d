from __future__ import annotations

import pytest

from ronron.core.containers import ContainerHealth, ContainerState, Observation
from ronron.core.failed_containers import (
    LOG_CHARACTERS,
    LOG_LINES,
    FailedContainer,
    failed_container,
    is_at_fault,
    last_lines,
    secret_values,
    why_failed,
)

SECRET = "tulips-under-the-stone"


def seen(state: ContainerState = ContainerState.EXITED, **fields: object) -> Observation:
    return Observation.model_validate({"name": "p-pad", "state": state, "image": "pad:1"} | fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"exit_code": 3}, "exited with 3"),
        ({"exit_code": 0}, "exited with 0"),
        ({"exit_code": 3, "restarts": 1}, "exited with 3, restarted once"),
        (
            {"state": ContainerState.RESTARTING, "exit_code": 3, "restarts": 7},
            "exited with 3, restarted 7 times",
        ),
        (
            {"exit_code": 137, "oom_killed": True},
            "was killed: it needs more memory than its limit (exit code 137)",
        ),
        (
            {"exit_code": 137},
            "was killed by SIGKILL (exit code 137): by a person, or by the machine for lack of memory",
        ),
        ({"exit_code": 143}, "was ended by SIGTERM (exit code 143)"),
        ({"exit_code": 139}, "was ended by SIGSEGV (exit code 139)"),
        ({"exit_code": 127}, "exited with 127: its command was not found"),
        ({"exit_code": 255}, "exited with 255"),
        (
            {"state": ContainerState.CREATED, "error": "port is already allocated"},
            "was never started: port is already allocated",
        ),
        ({"state": ContainerState.RUNNING, "health": ContainerHealth.UNHEALTHY}, "is unhealthy"),
        (
            {"state": ContainerState.RUNNING, "health": ContainerHealth.STARTING},
            "is running and not healthy yet",
        ),
        ({"state": ContainerState.RUNNING, "restarts": 2}, "is running, restarted 2 times"),
        ({"state": ContainerState.PAUSED}, "is paused"),
        ({"state": ContainerState.MISSING}, "does not exist"),
    ],
)
def test_how_a_container_failed_in_words(fields: dict[str, object], words: str) -> None:
    assert why_failed(seen(**{"state": ContainerState.EXITED, **fields})) == words  # type: ignore[arg-type]


def test_a_reason_names_container_and_image_without_its_digest() -> None:
    image = f"registry.example:5000/pad:1.8@sha256:{'0' * 64}"
    found = failed_container(seen(image=image, exit_code=3), ())
    assert found.headline == "container p-pad (image registry.example:5000/pad:1.8) exited with 3"
    only_digest = f"pad@sha256:{'0' * 64}"
    assert only_digest in failed_container(seen(image=only_digest, exit_code=3), ()).headline


def test_every_text_is_redacted() -> None:
    found = failed_container(
        seen(exit_code=1, error=f"no {SECRET}", health_output=f"{SECRET}\x1b[31m!"),
        (f"connecting to postgres://pad:{SECRET}@db/pad", "\x1b[2Jcleared\x07"),
        secrets=[SECRET],
    )
    assert SECRET not in found.model_dump_json()
    assert found.log[1] == "cleared"
    assert found.health == "[secret]!"


def test_a_log_is_cut_to_a_screen_from_its_beginning() -> None:
    lines = last_lines([f"line {number}" for number in range(100)])
    assert len(lines) == LOG_LINES
    assert lines[-1] == "line 99"
    long = last_lines(["x" * 100_000] * LOG_LINES)
    assert sum(len(line) + 1 for line in long) <= LOG_CHARACTERS
    assert long
    assert last_lines(["", "  ", "one"]) == ("one",)


def test_a_secret_of_several_lines_is_redacted() -> None:
    key = "-----BEGIN KEY-----\nabcdefgh\n-----END KEY-----"
    assert last_lines(["the key:", *key.splitlines(), "end"], [key]) == ("the key:", "[secret]", "end")


def test_a_docker_that_was_not_asked_is_said() -> None:
    found = FailedContainer(name="p-pad", unknown="connection refused")
    assert found.headline == "container p-pad failed; cannot ask Docker why: connection refused"


def test_details_are_the_health_check_and_the_end_of_the_log() -> None:
    found = FailedContainer(name="p-pad", why="is unhealthy", health="no\ndatabase", log=("a", "b", "c"))
    assert found.details(2) == ("health check: no", "health check: database", "log: b", "log: c")
    assert len(found.details()) == 5


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({}, False),
        ({"health": ContainerHealth.HEALTHY}, False),
        ({"health": ContainerHealth.UNHEALTHY}, True),
        ({"health": ContainerHealth.STARTING}, True),
        ({"restarts": 1}, True),
        ({"state": ContainerState.EXITED}, True),
        ({"state": ContainerState.MISSING}, True),
    ],
)
def test_a_container_at_fault_shows_it(fields: dict[str, object], at_fault: bool) -> None:
    assert is_at_fault(seen(**{"state": ContainerState.RUNNING, **fields})) is at_fault  # type: ignore[arg-type]


def test_secret_variables_are_known_by_their_names() -> None:
    assert secret_values(["DB_PASSWORD=a", "API_TOKEN=b=c", "PLAIN=d", "EMPTY_KEY=", "odd"]) == {"a", "b=c"}
