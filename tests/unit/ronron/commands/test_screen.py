"""What people see, to the letter, and what they must never see."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

from ronron.commands.screen import (
    Screen,
    change_lines,
    show_checks,
    show_preview,
    show_problems,
    show_status,
)
from ronron.commands.screen_history import show_explanation, show_history
from ronron.core.backups import BackupSummary
from ronron.core.errors import ConfigError, Problem
from ronron.core.failed_containers import FailedContainer
from ronron.core.health import Health
from ronron.core.model import Operation, Outcome, OutcomeKind, TakenSnapshot, Verdict, VerdictKind
from ronron.core.released import Released, RestoredData, UnrestoredData
from ronron.core.status import CheckResult, status
from ronron.testing import NOON
from tests.support.values import (
    FAILED,
    HEALTHY,
    HOUR,
    MINUTE,
    NEW,
    SECOND,
    SYNCED,
    UPDATED,
    begun,
    change,
    preview,
)
from tests.support.worlds import inventory

BAD = "502 Bad Gateway instead of 200"
UNHEALTHY = HEALTHY.with_(healthy=False, detail=BAD, status=502)


def local(at: datetime, form: str) -> str:
    return at.astimezone().strftime(form)


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
    show_status(screen, [status(SYNCED.with_(inventory=inventory()), [MADE], {"pad": HEALTHY}, NOON)])
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
    show_status(Screen(), [status(FAILED.with_(inventory=inventory()), [MADE], {"pad": HEALTHY}, NOON)])
    said = capsys.readouterr().out
    assert "production  failing  failed once: the pad is down" in said
    assert "pad  etherpad 1.8.14  https://pad.example/  healthy" in said
    assert "hint" in said


@pytest.mark.parametrize(
    ("health", "later", "said"),
    [
        pytest.param(HEALTHY, 12 * SECOND, "  healthy 12 s ago", id="healthy"),
        pytest.param(
            UNHEALTHY, 7 * MINUTE + 12 * SECOND,
            f"unhealthy since {local(NOON - MINUTE, '%H:%M')} (8 min 12 s): {BAD}", id="unhealthy",
        ),
        pytest.param(
            UNHEALTHY.with_(checked_at=NOON + 24 * HOUR), 24 * HOUR,
            f"unhealthy since {local(NOON - MINUTE, '%Y-%m-%d %H:%M')} (1 d): {BAD}",
            id="unhealthy since yesterday",
        ),
        pytest.param(
            UNHEALTHY.with_(healthy=True, failing_since=NOON), 3 * SECOND,
            f"failing for 3 s: {BAD}; the next probe decides", id="not confirmed",
        ),
        pytest.param(HEALTHY, 3 * HOUR, "unknown: last probed 3 h ago, no watcher probes it", id="stale"),
        pytest.param(None, 0 * SECOND, "unknown: not probed yet", id="never probed"),
    ],
)  # fmt: skip
def test_status_says_how_old_the_health_of_a_service_is(
    capsys: pytest.CaptureFixture[str], health: Health | None, later: timedelta, said: str
) -> None:
    known = {"pad": health.with_(every=10 * MINUTE)} if health is not None else {}
    show_status(Screen(), [status(SYNCED.with_(inventory=inventory()), [MADE], known, NOON + later)])
    words = said if said.startswith(" ") else f"\n           {said}"
    out = capsys.readouterr().out
    assert f"  service  pad  etherpad 1.8.14  https://pad.example/{words}\n" in out
    hints = {"unhealthy": "read its log with ronron logs production pad", "unknown": "start ronron watch"}
    hint = hints.get(said.partition(" ")[0].strip(":"))
    assert (hint is None) is ("hint" not in out)
    assert f"           hint  {hint or ''}" in out or hint is None


def test_a_service_that_is_held_back_says_why_it_is_not_probed(capsys: pytest.CaptureFixture[str]) -> None:
    record = SYNCED.with_(inventory=inventory(backup=True, held=True))
    show_status(Screen(), [status(record, [MADE], {}, NOON)])
    said = capsys.readouterr().out
    assert "           not probed: held back: its data (fake-production-pad-var) are lost\n" in said
    assert "           hint  " in said


def test_the_last_pass_is_another_line_than_health(capsys: pytest.CaptureFixture[str]) -> None:
    record = SYNCED.with_(inventory=inventory())
    show_status(Screen(), [status(record, [MADE], {"pad": UNHEALTHY}, NOON + MINUTE)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "production  unhealthy  pad is unhealthy"
    assert lines[2].startswith("  pass     3 updated ")
    assert " ago: " in lines[2]
    assert lines[3] == "  service  pad  etherpad 1.8.14  https://pad.example/"
    assert lines[4].startswith("           unhealthy since ")


def test_hints_that_are_the_same_are_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    found = inventory()
    found["services"]["team"] = found["services"]["pad"]  # type: ignore[index]
    show_status(Screen(), [status(SYNCED.with_(inventory=found), [MADE], {}, NOON)])
    said = capsys.readouterr().out
    assert said.count("unknown: not probed yet") == 2
    assert said.count("ronron watch") == 1


def test_a_pass_never_takes_less_than_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    show_history(Screen(), [MADE.with_(finished=MADE.started - timedelta(milliseconds=1))])
    assert "updated in 0.0 s" in capsys.readouterr().out


def test_history_and_explanation_say_why(capsys: pytest.CaptureFixture[str]) -> None:
    show_history(Screen(), [MADE])
    assert "new revision" in capsys.readouterr().out
    show_explanation(Screen(), status(SYNCED, [MADE], {}, NOON), "up to date: it is live", [MADE])
    said = capsys.readouterr().out
    assert "because   new revision: it is new" in said
    assert "verdict   allowed: the policy allows it" in said
    assert "probe     pad healthy: 200 in 0.04 s" in said


BROKEN = Outcome(
    kind=OutcomeKind.FAILED,
    message="cannot create container pad: not healthy; container p-pad exited with 3\nand one more line",
    hint="push a fix",
    verdict=Verdict(kind=VerdictKind.ALLOWED, why="the policy allows it"),
    changes=(change(Operation.CREATE, "pad-data", "docker:index/volume:Volume"),),
    failed_changes=(change(Operation.CREATE, "pad"),),
    containers=(FailedContainer(name="p-pad", why="exited with 3", health="no", log=("one", "two")),),
)


def test_an_explanation_of_a_failure_says_everything_once(capsys: pytest.CaptureFixture[str]) -> None:
    made = MADE.with_(outcome=BROKEN)
    record = FAILED.with_(
        failed=FAILED.failed.with_(message=BROKEN.message) if FAILED.failed else None,
        inventory=inventory(),
    )
    show_explanation(Screen(), status(record, [made], {}, NOON), "retry: it failed", [made])
    said = capsys.readouterr().out
    for words in (
        "verdict   allowed: the policy allows it",
        "change    + create pad-data Volume",
        "failed    + create pad Container",
        "outcome   failed: cannot create container pad: not healthy; container p-pad exited with 3",
        "and one more line",
        "health check: no",
        "log: two",
        "hint      push a fix",
    ):
        assert said.count(words) == 1, words


def test_a_status_and_a_history_have_one_line_for_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    made = MADE.with_(outcome=BROKEN)
    show_history(Screen(), [made])
    assert "exited with 3 (and 1 more line)" in capsys.readouterr().out
    record = FAILED.with_(failed=FAILED.failed.with_(message=BROKEN.message) if FAILED.failed else None)
    show_status(Screen(), [status(record, [made], {}, NOON)])
    said = capsys.readouterr().out
    assert said.count("exited with 3") == 1
    assert "\nand one more" not in said


def test_a_snapshot_of_the_last_pass_is_no_missing_one(capsys: pytest.CaptureFixture[str]) -> None:
    taken = UPDATED.with_(snapshots=(TakenSnapshot(service="pad", id="5d1f" * 16),))
    made = MADE.with_(outcome=taken)
    before = BackupSummary(service="pad", looked_at=made.started - HOUR)
    record = SYNCED.with_(inventory=inventory(backup=True), backups={"pad": before})
    show_explanation(Screen(), status(record, [made], {}, NOON), "", [made])
    said = capsys.readouterr().out
    assert "no snapshot" not in said
    assert said.count("5d1f5d1f5d1f") == 2


def test_nothing_yet_says_how_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    show_status(Screen(), [])
    show_history(Screen(), [])
    assert capsys.readouterr().out.count("ronron watch") == 2
    show_history(Screen(), [], "production")
    assert "ronron update production" in capsys.readouterr().out


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
    show_explanation(Screen(), status(SYNCED, [made], {}, NOON), "", [made])
    shown = capsys.readouterr().out
    for line in (
        "released  the volume p-local-pad-plugins stays on here",
        "restored  board from snapshot 111111111111",
        "restored  the data of board until then is snapshot 222222222222",
        "data      of pad may have been migrated; as they were before: snapshot 333333333333 has them",
        "data      of team may have been migrated; as they were before: no snapshot has them",
    ):
        assert line in shown
