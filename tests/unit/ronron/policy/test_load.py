"""The policy file: what is understood, and everything that is refused when it is loaded."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from ronron.core.errors import PROBLEMS_SHOWN, ConfigError, ConfigProblemsError
from ronron.core.policy import (
    DriftPolicy,
    Guard,
    OnDrift,
    OnFailure,
    Policy,
    Promotion,
    Retry,
    UpdateMode,
    Window,
)
from ronron.policy.document import NOT_YET
from ronron.policy.load import Policies, load_policies

FILE = "stacks/environments.yaml"
ROOT = Path(__file__).parents[4]


def load(text: str) -> Policies:
    return load_policies(dedent(text), file=FILE)


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigProblemsError) as caught:
        load(text)
    return [str(problem).removeprefix(f"{FILE}:") for problem in caught.value.problems]


def of_a(body: str) -> list[str]:
    """The problems of an environment `a` beside which `b` is right; what comes before the key is cut off."""
    found = problems(f"environments:\n  b: {{}}\n  a: {{{body}}}\n")
    return [problem.removeprefix("3 environments.a.") for problem in found]


# -- what is understood ----------------------------------------------------------------------------


def test_everything_that_can_be_said_is_understood() -> None:
    policies = load(
        """
        project: infra/
        environments:
          staging: {}
          production:
            stack: prod
            reference: refs/tags/v*
            update: approval
            after: {environments: [staging], for: 1h30m}
            window: {days: mon-thu, from: "18:00", to: "23:00", timezone: Europe/Paris}
            guard: {deletes: 0, replaces: 2}
            on_failure: rollback
            retry: {after: 10s, ceiling: 30m, limit: 3}
            probe_for: 90s
            probe_every: 5m
            create_stack: true
            drift: {every: 1h, on_drift: propose}
        """
    )
    assert policies.project == "infra"
    assert list(policies.environments) == ["staging", "production"]
    assert policies.environments["production"] == Policy(
        name="production",
        stack="prod",
        reference="refs/tags/v*",
        update=UpdateMode.APPROVAL,
        after=Promotion(environments=("staging",), healthy_for=timedelta(minutes=90)),
        window=Window(days=frozenset({0, 1, 2, 3}), opens=time(18), closes=time(23), timezone="Europe/Paris"),
        guard=Guard(deletes=0, replaces=2),
        on_failure=OnFailure.ROLLBACK,
        retry=Retry(after=timedelta(seconds=10), ceiling=timedelta(minutes=30), limit=3),
        probe_for=timedelta(seconds=90),
        probe_every=timedelta(minutes=5),
        create_stack=True,
        drift=DriftPolicy(every=timedelta(hours=1), on_drift=OnDrift.PROPOSE),
    )


def test_what_is_left_out_has_the_defaults_of_the_policy() -> None:
    policies = load("environments: {staging: {}}")
    assert policies.project == "."
    assert policies.environments == {"staging": Policy(name="staging", stack="staging", reference="HEAD")}


def test_a_part_that_is_given_keeps_the_defaults_of_what_it_leaves_out() -> None:
    policy = load(
        "environments: {b: {}, a: {retry: {limit: 9}, guard: {deletes: 1}, after: {environments: [b]}}}"
    )
    assert policy.named("a").retry == Retry(limit=9)
    assert policy.named("a").guard == Guard(deletes=1)
    assert policy.named("a").after == Promotion(environments=("b",))


def test_a_window_of_whole_days_ends_at_the_midnight_after() -> None:
    window = (
        load('environments: {a: {window: {days: sat, from: "00:00", to: "24:00", timezone: UTC}}}')
        .named("a")
        .window
    )
    assert window is not None
    saturday = datetime(2026, 11, 28, tzinfo=UTC)
    assert not window.is_open(saturday - timedelta(seconds=1))
    assert window.is_open(saturday)
    assert window.is_open(saturday + timedelta(hours=23, minutes=59))
    assert not window.is_open(saturday + timedelta(days=1))


def test_times_need_no_quotes() -> None:
    window = (
        load("environments: {a: {window: {days: sat, from: 18:00, to: 02:00, timezone: UTC}}}")
        .named("a")
        .window
    )
    assert window is not None
    assert (window.opens, window.closes) == (time(18), time(2))


def test_the_policy_of_this_repository_is_understood() -> None:
    policies = load_policies((ROOT / FILE).read_text(encoding="utf-8"), file=FILE)
    assert list(policies.environments) == ["local"]
    local = policies.named("local")
    assert (local.stack, local.reference, local.create_stack) == ("local", "main", True)
    assert (local.update, local.on_failure) == (UpdateMode.AUTOMATIC, OnFailure.HOLD)


def test_the_example_of_a_single_host_is_understood() -> None:
    policies = load_policies((ROOT / "examples/single-host" / FILE).read_text(encoding="utf-8"), file=FILE)
    ours = policies.named("ours")
    assert (ours.stack, ours.guard) == ("ours", Guard(deletes=0, replaces=0))
    assert (ours.update, ours.on_failure) == (UpdateMode.AUTOMATIC, OnFailure.ROLLBACK)


def test_the_example_of_staging_and_production_is_understood() -> None:
    policies = load_policies((ROOT / "examples/proxmox" / FILE).read_text(encoding="utf-8"), file=FILE)
    assert list(policies.environments) == ["staging", "production"]
    production = policies.named("production")
    assert not any(policies.named(name).create_stack for name in ("staging", "production"))
    assert production.after == Promotion(environments=("staging",), healthy_for=timedelta(minutes=30))
    assert production.guard == Guard(deletes=0, replaces=0)
    assert production.window is not None
    assert production.on_failure is OnFailure.ROLLBACK


def test_an_environment_that_is_not_there_is_answered_with_the_nearest() -> None:
    policies = load("environments: {staging: {}, production: {}}")
    with pytest.raises(ConfigError, match="cannot find the environment `prod`") as caught:
        policies.named("prod")
    assert caught.value.hint == "use `production`"
    with pytest.raises(ConfigError) as caught:
        policies.named("x")
    assert caught.value.hint == "use one of `staging`, `production`"


# -- what is refused: words and shapes -------------------------------------------------------------


def test_an_unknown_key_is_answered_with_the_nearest() -> None:
    found = problems(
        """\
        enviroments: {}
        environments:
          a:
            windw: {}
            guard: {delets: 1}
            after: {environment: [b], environments: [b]}
            zzz: 1
          b: {}
        """
    )
    assert found == [
        "1 enviroments: cannot use the unknown key `enviroments`; write `environments`",
        "4 environments.a.windw: cannot use the unknown key `windw`; write `window`",
        "5 environments.a.guard.delets: cannot use the unknown key `delets`; write `deletes`",
        "6 environments.a.after.environment: cannot use the unknown key `environment`; write `environments`",
        "7 environments.a.zzz: cannot use the unknown key `zzz`; remove it, or write one of "
        "`stack`, `reference`, `update`, `after`, `window`, `guard`, `on_failure`, `retry`, "
        "`probe_for`, `probe_every`, `drift`, `create_stack`",
    ]


@pytest.mark.parametrize("key", sorted(NOT_YET))
def test_a_control_that_would_have_no_effect_is_refused(key: str) -> None:
    [problem] = of_a(f"{key}: {{}}")
    assert problem == f"{key}: cannot act on `{key}` yet: {NOT_YET[key]}; remove it until this version can"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("update: auto", "update: cannot use `auto` here; write `automatic`"),
        ("update: true", "update: cannot use `true` here; write one of `automatic`, `approval`"),
        ("on_failure: rolback", "on_failure: cannot use `rolback` here; write `rollback`"),
        ("create_stack: yes", "create_stack: cannot use `yes` here; write `true` or `false`"),
        ("create_stack: 1", "create_stack: cannot use `1` here; write `true` or `false`"),
        (
            "stack: 5",
            "stack: cannot use `5` here; write text, such as `staging`; put it in quotes where it looks like "
            "something else",
        ),
        (
            "stack: -x",
            "stack: cannot use the name `-x`; write letters, digits, `-`, `_` and `.`, no `-` or `.` first, "
            "at most 100 of them",
        ),
        ("guard: {deletes: -1}", "guard.deletes: cannot use the number `-1`; write 0 or more"),
        ("guard: {deletes: 1.5}", "guard.deletes: cannot use `1.5` here; write a whole number, such as `0`"),
        (
            "guard: {deletes: true}",
            "guard.deletes: cannot use `true` here; write a whole number, such as `0`",
        ),
        ("guard: [1]", "guard: cannot use what is here; write keys with values, indented below it"),
        ("retry: {limit: 0}", "retry.limit: cannot use the number `0`; write 1 or more"),
        ("retry: {limit: 101}", "retry.limit: cannot use the number `101`; write 100 or less"),
        (
            "retry: {after: 0s}",
            "retry.after: cannot use so short a duration as `0s`; write `1s` or more",
        ),
        (
            "retry: {after: 2h}",
            "retry: cannot wait longer after the first failure than the ceiling allows; "
            "write a `ceiling` that is at least as long as `after`",
        ),
        ("probe_for: 61m", "probe_for: cannot use so long a duration as `61m`; write `1h` or less"),
        ("probe_every: 9s", "probe_every: cannot use so short a duration as `9s`; write `10s` or more"),
        ("probe_every: 2d", "probe_every: cannot use so long a duration as `2d`; write `1d` or less"),
        (
            "after: {environments: b}",
            "after.environments: cannot use `b` here; write a list, such as `[b]`",
        ),
        (
            "after: {environments: []}",
            "after.environments: cannot use an empty `environments`; name at least one environment",
        ),
        (
            "after: {environments: [[b]]}",
            "after.environments[0]: cannot use what is here; "
            "write text, such as `staging`; put it in quotes where it looks like something else",
        ),
        (
            "after: {for: 1h}",
            "after.environments: cannot do without the key `environments`; "
            "add it, such as `environments: [staging]`",
        ),
        (
            "after: {environments: [b], for: 30}",
            "after.for: cannot read the duration `30`; "
            "write numbers with a unit, such as `30s`, `30m`, `1h30m` or `2d`",
        ),
        (
            "reference: --upload-pack=x",
            "reference: cannot follow `--upload-pack=x`: git allows no such name; "
            "write a branch's name, such as `main`, or a tag pattern, such as `refs/tags/v*`",
        ),
        (
            "window: ",
            "window: cannot use `window` without a value; "
            "write its value, or remove it; what belongs to it must be indented below it",
        ),
    ],
)
def test_a_wrong_value_is_answered_with_what_is_right(body: str, problem: str) -> None:
    assert of_a(body) == [problem]


@pytest.mark.parametrize(
    ("window", "problem"),
    [
        ("days: [], from: 18:00, to: 19:00, timezone: UTC", "days: cannot open a window on no day"),
        ("days: monday, from: 18:00, to: 19:00, timezone: UTC", "days: cannot read the day `monday`"),
        ("days: daily, from: 25:00, to: 19:00, timezone: UTC", "from: cannot read the time of day `25:00`"),
        ("days: daily, from: 24:00, to: 19:00, timezone: UTC", "from: cannot read the time of day `24:00`"),
        ("days: daily, from: 18:00, to: 19, timezone: UTC", "to: cannot read the time of day `19`"),
        (
            "days: daily, from: 18:00, to: 19:00, timezone: Europe/Pariss",
            "timezone: cannot find the time zone `Europe/Pariss`; write `Europe/Paris`",
        ),
        ("from: 18:00, to: 19:00, timezone: UTC", "days: cannot do without the key `days`"),
        ("days: daily, to: 19:00, timezone: UTC", "from: cannot do without the key `from`"),
        ("days: daily, from: 18:00, timezone: UTC", "to: cannot do without the key `to`"),
        ("days: daily, from: 18:00, to: 19:00", "timezone: cannot do without the key `timezone`"),
    ],
)
def test_an_impossible_window_is_refused(window: str, problem: str) -> None:
    [found] = of_a(f"window: {{{window}}}")
    assert found.startswith(f"window.{problem}")


def test_a_window_that_closes_when_it_opens_is_refused() -> None:
    [found] = of_a('window: {days: daily, from: "18:00", to: "18:00", timezone: UTC}')
    assert found.startswith("window: cannot use a window from 18:00 to 18:00: it may be always open or never")


@pytest.mark.parametrize("name", ['"a b"', "-a", "a/b", '""', "é", "x" * 64])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    [found] = problems(f"environments:\n  {name}: {{}}\n")
    assert "cannot use the name" in found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("project: .", "1 environments: cannot do without the key `environments`"),
        ("environments: {}", "1 environments: cannot use an empty `environments`"),
        ("environments:\n", "1 environments: cannot use `environments` without a value"),
        ("environments: []", "1 environments: cannot use what is here"),
        ("environments:\n  a:\n", "2 environments.a: cannot use `a` without a value"),
        ("environments:\n  a: 1\n", "2 environments.a: cannot use `1` here"),
        (
            "project: ../x\nenvironments: {a: {}}",
            "1 project: cannot use the path `../x`: it leaves the repository",
        ),
    ],
)
def test_a_file_without_environments_is_refused(text: str, problem: str) -> None:
    [found] = problems(text)
    assert found.startswith(problem)


def test_a_second_key_of_one_name_is_refused() -> None:
    [found] = problems("environments:\n  a:\n    update: approval\n    update: automatic\n")
    assert found.startswith(
        "4 environments.a.update: cannot have the key `update` twice: it is on line 3 already"
    )
    [found] = problems("environments:\n  a: {}\n  a: {update: approval}\n")
    assert found.startswith("3 environments.a: cannot have the key `a` twice")


def test_broken_yaml_is_refused_with_line_and_column() -> None:
    with pytest.raises(ConfigError) as caught:
        load("environments:\n  a: b: c\n")
    assert caught.value.where == f"{FILE}:2:7"


# -- what is refused: what environments say of each other ------------------------------------------


def test_waiting_for_an_unknown_environment_is_answered_with_the_nearest() -> None:
    found = problems(
        """\
        environments:
          staging: {}
          production: {after: {environments: [stagin, zzz]}}
        """
    )
    assert found == [
        "3 environments.production.after.environments[0]: cannot wait for `stagin`: "
        "there is no such environment; write `staging`",
        "3 environments.production.after.environments[1]: cannot wait for `zzz`: "
        "there is no such environment; remove it, or add that environment",
    ]


def test_an_environment_that_is_wrong_is_not_called_unknown() -> None:
    found = problems("environments: {a: {update: no}, b: {after: {environments: [a]}}}")
    assert len(found) == 1
    assert found[0].startswith("1 environments.a.update: ")


def test_waiting_twice_for_one_environment_is_refused() -> None:
    assert of_a("after: {environments: [b, b]}") == [
        "after.environments[1]: cannot wait for `b` twice; remove one of the two"
    ]


@pytest.mark.parametrize(
    ("waits", "cycles"),
    [
        ({"a": "a"}, ["a waits for a"]),
        ({"a": "b", "b": "a"}, ["a waits for b waits for a"]),
        ({"c": "b", "b": "a", "a": "c"}, ["a waits for c waits for b waits for a"]),
        (
            {"a": "b", "b": "a", "c": "d", "d": "c"},
            ["a waits for b waits for a", "c waits for d waits for c"],
        ),
        ({"a": "b", "b": "c", "c": "b"}, ["b waits for c waits for b"]),
    ],
)
def test_a_circle_of_promotions_is_named(waits: dict[str, str], cycles: list[str]) -> None:
    entries = "".join(f"  {name}: {{after: {{environments: [{other}]}}}}\n" for name, other in waits.items())
    found = problems(f"environments:\n{entries}")
    assert [re.search(r"in a circle: (.*);", problem)[1] for problem in found] == cycles  # type: ignore[index]


def test_a_chain_and_a_fork_of_promotions_are_no_circle() -> None:
    policies = load(
        """
        environments:
          a: {}
          b: {after: {environments: [a]}}
          c: {after: {environments: [a]}}
          d: {after: {environments: [b, c]}}
        """
    )
    assert len(policies.environments) == 4


def test_two_environments_on_one_stack_are_refused() -> None:
    assert problems("environments:\n  a: {stack: x}\n  b: {stack: x}\n") == [
        "3 environments.b.stack: cannot keep the stack `x` by two environments: `a` has it already; "
        "give one of them a stack of its own, such as `stack: b`"
    ]
    [found] = problems("environments:\n  a: {}\n  b: {stack: a}\n")
    assert "cannot keep the stack `a` by two environments: `a` has it already" in found


# -- how it is told --------------------------------------------------------------------------------


def test_every_problem_is_told_at_once_in_the_order_of_the_file() -> None:
    found = problems(
        """\
        environments:
          a:
            update: auto
            after: {environments: [nobody]}
          b: {after: {environments: [c]}, stack: one}
          c: {after: {environments: [b]}, stack: one}
          d:
            drift: {every: 1s}
            reference: a..b
        """
    )
    assert [problem.partition(" ")[0] for problem in found] == ["3", "5", "6", "8", "9"]


def test_one_problem_is_told_as_one_message() -> None:
    with pytest.raises(ConfigProblemsError) as caught:
        load("environments:\n  a:\n    update: auto\n")
    error = caught.value
    assert (error.where, error.message, error.hint) == (
        f"{FILE}:3 environments.a.update",
        "cannot use `auto` here",
        "write `automatic`",
    )


def test_many_problems_fit_on_one_screen() -> None:
    wrong = "".join(f"  e{number}: {{update: auto}}\n" for number in range(40))
    with pytest.raises(ConfigProblemsError) as caught:
        load(f"environments:\n{wrong}")
    lines = str(caught.value).splitlines()
    assert lines[0] == f"cannot use {FILE}: 40 problems"
    assert len(lines) == PROBLEMS_SHOWN + 2
    assert lines[-1] == f"  … and {40 - PROBLEMS_SHOWN} more"
    assert len(caught.value.problems) == 40


def test_what_is_shown_of_a_value_is_short_and_has_no_control_codes() -> None:
    [found] = of_a('update: "' + "\\e[31m" + "x" * 500 + '"')
    assert len(found) < 200
    assert "\x1b" not in found
