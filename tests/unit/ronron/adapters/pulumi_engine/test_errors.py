"""The errors of the engine, in plain words and with a command that helps."""

from __future__ import annotations

import pytest

from ronron.adapters.pulumi_engine.errors import LONGEST, explain
from ronron.adapters.pulumi_engine.events import Diagnostic, EventLog
from ronron.core.errors import UpdateFailedError
from ronron.core.model import Change, Operation
from tests.support.engine_sayings import (
    DOCKER,
    IMAGE,
    KEEP,
    PULL,
    RAISED,
    ROWS,
    SSH,
    TCP,
    VIOLATES,
    Row,
    bridged,
    failed,
    finished,
    said,
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_was_heard_is_told_in_plain_words_with_a_command_that_helps(row: Row) -> None:
    error = explain(row.heard, row.log, "dev", directory="/var/checkouts/4f")
    assert type(error) is row.error
    assert row.message in error.message
    assert row.hint in error.hint
    assert "`" in error.hint
    assert error.retryable is row.retryable
    assert error.where == row.where
    assert "Traceback" not in str(error)
    assert "/var/checkouts" not in str(error)


@pytest.mark.parametrize(
    "cause", [TCP, f"{SSH}ssh: connect to host old01 port 22: Connection refused\r\n", PULL]
)
def test_a_cause_that_the_bridge_tells_twice_is_told_once(cause: str) -> None:
    error = explain(finished(), failed(DOCKER, *bridged(cause)), "dev")
    assert error.message.count(cause[:40]) == 1
    assert "provider2.go" not in error.message
    assert "provider=docker" not in error.message
    assert len(error.message.splitlines()) == 1


def test_the_values_of_a_violated_plan_are_not_told() -> None:
    error = explain(finished(), said(VIOLATES), "dev")
    assert not {"blue", "green"} & set(f"{error} {error.hint}".replace("{", " ").replace("}", " ").split())


def test_a_violated_plan_tells_of_what_was_done_before_it() -> None:
    log = said(VIOLATES)
    done = (Change(urn=DOCKER, operation=Operation.CREATE), Change(urn=IMAGE, operation=Operation.SAME))
    error = explain(finished(), EventLog(diagnostics=log.diagnostics, done=done), "dev")
    assert "carried out before: 1 change of the plan" in error.message


def test_those_whose_turn_did_not_come_are_not_the_cause_where_another_failed() -> None:
    after = [
        Diagnostic("error", f"expected resource operations for {urn} but none were seen\n", urn)
        for urn in (IMAGE, KEEP)
    ]
    log = failed(DOCKER, *bridged(TCP))
    error = explain(finished(), EventLog(failed=log.failed, diagnostics=(*log.diagnostics, *after)), "dev")
    assert error.message == explain(finished(), log, "dev").message


def test_failed_resources_come_before_the_complaints_of_an_interrupted_program() -> None:
    interrupted = Diagnostic(
        "error", RAISED.replace("ValueError: services.pad: nothing of the kind", "KeyboardInterrupt")
    )
    log = failed(DOCKER, *bridged(TCP))
    error = explain(
        finished(), EventLog(failed=log.failed, diagnostics=(interrupted, *log.diagnostics)), "dev"
    )
    assert isinstance(error, UpdateFailedError)
    assert "KeyboardInterrupt" not in error.message


def test_an_interrupted_program_alone_is_no_cause() -> None:
    interrupted = RAISED.replace("ValueError: services.pad: nothing of the kind", "KeyboardInterrupt")
    error = explain(finished(), said(interrupted), "dev")
    assert error.message == "the program ended without an error message"


def test_of_many_failures_the_first_are_shown_and_the_others_counted() -> None:
    changes = tuple(Change(urn=f"{DOCKER}{number}", operation=Operation.CREATE) for number in range(9))
    log = EventLog(
        failed=changes, diagnostics=tuple(Diagnostic("error", "it broke\n" * 900, one.urn) for one in changes)
    )
    error = explain(finished(), log, "dev")
    assert error.message.splitlines()[-1] == "and 6 more failed"
    assert len(error.message) <= LONGEST


def test_a_failure_without_a_word_is_still_named() -> None:
    log = EventLog(failed=(Change(urn=DOCKER, operation=Operation.DELETE),))
    error = explain(finished(), log, "dev")
    assert error.message == "cannot delete volume v: no reason was given"


def test_secrets_and_credentials_are_taken_out_of_message_and_hint() -> None:
    cause = TCP.replace("tcp://192.0.2.11:2375", "tcp://hunter22.example:2375")
    log = failed(DOCKER, *bridged(f"{cause} (https://tech:s3cr3t@registry.example/v2?token=abcdef)"))
    error = explain(finished(), log, "dev", ["hunter22"])
    told = f"{error} {error.hint}"
    assert "registry.example" in told
    for secret in ("hunter22", "s3cr3t", "abcdef"):
        assert secret not in told


def test_the_whole_output_is_named_for_whoever_debugs() -> None:
    error = explain(finished(), failed(DOCKER, "odd"), "dev")
    assert error.__notes__ == ["full output of the engine: /var/lib/ronron/work/7/03-up.out and .err"]
