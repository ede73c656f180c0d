"""What people see, to the letter, and what they must never see."""

from __future__ import annotations

import json

import pytest

from ronron.commands.screen import (
    Screen,
    change_lines,
    show_checks,
    show_explanation,
    show_history,
    show_preview,
    show_problems,
    show_status,
)
from ronron.core.errors import ConfigError, Problem
from ronron.core.model import Operation, Verdict, VerdictKind
from ronron.core.released import Released, RestoredData, UnrestoredData
from ronron.core.status import CheckResult, status
from tests.support.values import FAILED, NEW, SYNCED, UPDATED, begun, change, preview
from tests.support.worlds import inventory

MADE = begun().with_(id=3, outcome=UPDATED, finished=begun().started)
NEEDS = Verdict(kind=VerdictKind.NEEDS_APPROVAL, why="it would delete data")


def test_an_error_says_what_where_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().error(
        ConfigError("cannot use port 99999", where="edge.http_port", hint="choose one below 65536")
    )
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "error: edge.http_port: cannot use port 99999",
        "hint: choose one below 65536",
    ]


def test_secrets_are_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.keep_secret(["hunter2hunter2"])
    screen.log("staging", "the passphrase is hunter2hunter2")
    screen.print("https://user:hunter2hunter2@host/")
    screen.error(ConfigError("hunter2hunter2", hint="hunter2hunter2"))
    as_json = Screen(as_json=True)
    as_json.keep_secret(["hunter2hunter2"])
    as_json.json({"a": "hunter2hunter2"})
    said = capsys.readouterr()
    assert "hunter2" not in said.out + said.err


def test_json_is_one_document_and_nothing_else_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=True)
    screen.log("staging", "preview: 1 to create")
    show_status(screen, [status(SYNCED.with_(inventory=inventory()), [MADE])])
    said = capsys.readouterr()
    assert said.err == ""
    (environment,) = json.loads(said.out)["environments"]
    assert environment["state"] == "live"
    assert environment["services"][0]["url"] == "https://pad.example/"
    assert environment["live"]["commit"] == SYNCED.current.commit  # type: ignore[union-attr]


def test_json_stays_json_whatever_is_taken_out_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=True)
    screen.keep_secret(['\\back"quote'])
    screen.error(ConfigError('cannot read "https://git.example/x?a=1" with "\\back"quote"'))
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["message"] == 'cannot read "https://git.example/x?[secret]" with "[secret]"'


def test_markup_in_what_others_wrote_is_only_text(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.print("[bold]not bold[/bold] [/]")
    screen.error(ConfigError("cannot read [/red] it"))
    said = capsys.readouterr()
    assert "[bold]not bold[/bold] [/]" in said.out
    assert "[/red]" in said.err


def test_changes_are_signed_and_a_replacement_is_one_line() -> None:
    steps = [
        change(Operation.CREATE_REPLACEMENT),
        change(Operation.REPLACE, properties=("envs", "image")),
        change(Operation.DELETE_REPLACED),
        change(Operation.CREATE, "wiki"),
        change(Operation.DELETE, "old"),
        change(Operation.UNKNOWN, "odd", original="teleport"),
        change(Operation.CREATE, "component", custom=False),
    ]
    plain = [line.replace("[/]", "").partition("]")[2].replace("[dim]", "") for line in change_lines(steps)]
    assert plain == [
        "± replace pad Container (envs, image)",
        "+ create wiki Container",
        "- delete old Container",
        "? teleport odd Container",
    ]


def test_a_preview_that_waits_names_its_plan(capsys: pytest.CaptureFixture[str]) -> None:
    show_preview(Screen(), NEW, preview(change()), NEEDS)
    said = capsys.readouterr().out
    assert "verdict: needs approval: it would delete data" in said
    assert "plan cccccccccccc" in said
    assert NEW.short in said


def test_status_shows_services_addresses_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    show_status(Screen(), [status(FAILED.with_(inventory=inventory()), [MADE])])
    said = capsys.readouterr().out
    assert "production  failing  failed once: the pad is down" in said
    assert "pad  etherpad 1.8.14  https://pad.example/  healthy" in said
    assert "hint" in said


def test_history_and_explanation_say_why(capsys: pytest.CaptureFixture[str]) -> None:
    show_history(Screen(), [MADE])
    assert "new revision" in capsys.readouterr().out
    show_explanation(Screen(), status(SYNCED, [MADE]), "up to date: it is live", [MADE])
    said = capsys.readouterr().out
    assert "because   new revision: it is new" in said
    assert "verdict   allowed: the policy allows it" in said
    assert "probe     pad healthy: 200 in 0.04 s" in said


def test_nothing_yet_says_how_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    show_status(Screen(), [])
    show_history(Screen(), [])
    assert capsys.readouterr().out.count("ronron update ENV") == 2


def test_findings_have_their_remedy_below(capsys: pytest.CaptureFixture[str]) -> None:
    show_checks(Screen(), [CheckResult(name="engine", good=False, remedy="run make setup")])
    said = capsys.readouterr().out
    assert "✗" in said
    assert "engine: run make setup" in said


def test_problems_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    show_problems(Screen(), [Problem("a.yaml:3 key", "cannot use it", "mend it")])
    assert capsys.readouterr().out.splitlines()[-1] == "1 problem"
    show_problems(Screen(), [])
    assert capsys.readouterr().out == "no problems\n"


def test_an_explanation_says_what_was_released_and_whose_data_stayed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcome = UPDATED.with_(
        released=(Released(name="pad-plugins", kind="volume", id="p-local-pad-plugins", place="here"),),
        restored_data=(RestoredData(service="board", snapshot="1" * 64, safety_snapshot="2" * 64),),
        unrestored=(
            UnrestoredData(service="pad", snapshot="3" * 64),
            UnrestoredData(service="team"),
        ),
    )
    made = MADE.with_(outcome=outcome)
    show_explanation(Screen(), status(SYNCED, [made]), "", [made])
    shown = capsys.readouterr().out
    for line in (
        "released  the volume p-local-pad-plugins stays on here",
        "restored  board from snapshot 111111111111",
        "restored  the data of board until then is snapshot 222222222222",
        "data      of pad may have been migrated; as they were before: snapshot 333333333333 has them",
        "data      of team may have been migrated; as they were before: no snapshot has them",
    ):
        assert line in shown
