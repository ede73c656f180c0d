"""Stack files as people write them: read without engine or passphrase, and each problem has its line."""

from __future__ import annotations

import json
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from chatons import validate
from chatons.declaration import stack_file
from chatons.declaration.load import ENCRYPTED
from chatons.declaration.stack_file import StackFileError

ROOT = Path(__file__).parents[4]

GOOD = """\
config:
  pulumi:disable-default-providers: [docker]
  ronron:collective:
    name: A test
    domain: test.example
    contact: tech@test.example
    country: FR
  ronron:machines:
    here: {docker: "unix:///var/run/docker.sock"}
  ronron:services:
    job:
      kind: container
      machine: here
      image: job:1
      command:
        - run
        - "42"
  ronron:job-secret-TOKEN:
    secure: v1:abc:def
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "Pulumi.local.yaml"


def write(path: Path, text: str) -> Path:
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    code = validate.main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


# -- reading -----------------------------------------------------------------------------------------------


def test_plain_values_and_secrets_are_told_apart(path: Path) -> None:
    file = stack_file.read(write(path, GOOD), "local")
    configuration = file.configuration
    assert configuration.stack == "local"
    assert set(configuration.values) == {"collective", "machines", "services"}
    assert dict(configuration.secrets) == {"job-secret-TOKEN": None}
    assert file.problems == ()


def test_a_secret_inside_a_value_is_not_decrypted(path: Path) -> None:
    text = GOOD.replace("image: job:1", "image: job:1\n      environment: {TOKEN: {secure: v1:abc:def}}")
    services = stack_file.read(write(path, text), "local").configuration.values["services"]
    assert isinstance(services, dict)
    assert services["job"]["environment"] == {"TOKEN": ENCRYPTED}


def test_keys_of_others_are_left_alone(path: Path) -> None:
    text = GOOD + "  docker:host: unix:///x\n  wordpress:title: x\n"
    assert stack_file.read(write(path, text), "local").problems == ()


@pytest.mark.parametrize(
    ("key", "remedy"),
    [("services", "write ronron:services"), ("ronrno:services", "write ronron:services")],
)
def test_a_key_in_no_or_a_mistyped_namespace_is_told_with_its_line(path: Path, key: str, remedy: str) -> None:
    (located,) = stack_file.read(write(path, GOOD + f"  {key}: {{}}\n"), "local").problems
    assert located.line == len(GOOD.splitlines()) + 1
    assert located.problem.remedy == remedy


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ((), 1),
        (("collective",), 3),
        (("collective", "country"), 7),
        (("services", "job", "image"), 14),
        (("services", "job", "command", 1), 17),
        (("services", "job", "hostname"), 11),
        (("services", "blog", "image"), 10),
        (("edge", "image"), 1),
        (("job-secret-TOKEN",), 18),
    ],
)
def test_a_problem_is_on_the_line_of_its_key_or_of_the_nearest_above(
    path: Path, keys: tuple[str | int, ...], line: int
) -> None:
    assert stack_file.read(write(path, GOOD), "local").line(keys) == line


@pytest.mark.parametrize(
    ("name", "stack"),
    [
        ("Pulumi.local.yaml", "local"), ("Pulumi.production.yml", "production"), ("Pulumi.a.b.yaml", "a.b"),
        ("Pulumi.yaml", None), ("environments.yaml", None), ("Pulumi.local.yaml.bak", None),
        ("Pulumi.a b.yaml", None),
    ],
)  # fmt: skip
def test_the_name_of_a_file_tells_its_stack(name: str, stack: str | None) -> None:
    assert stack_file.stack_name(Path("stacks") / name) == stack


# -- files that are none -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("config:\n  ronron:services:\n    pad: {kind: etherpad\n", 4, "this is not YAML"),
        ("config:\n\tronron:services: {}\n", 2, "this is not YAML"),
        ("config:\n  a: 'b\n", 3, "this is not YAML"),
        ("config:\n  ronron:edge: {}\n  ronron:edge: {}\n", 3, "found duplicate key"),
        ("config:\n  a: *nothing\n", 2, "this is not YAML"),
        ("- a\n- b\n", None, "this file has no keys"),
        ("", None, "this file has no keys"),
        ("just a text\n", None, "this file has no keys"),
        ("encryptionsalt: x\n", None, "there is no `config` in this file"),
        ("config:\n", None, "there is no `config` in this file"),
        ("config: text\n", 1, "`config` has no keys"),
        ("config: [a]\n", 1, "`config` has no keys"),
    ],
)
def test_a_broken_file_is_told_in_one_problem_with_its_line(
    path: Path, text: str, line: int | None, problem: str
) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StackFileError) as caught:
        stack_file.read(path, "local")
    located = caught.value.located
    assert located.line == line
    assert problem in located.problem.problem
    assert "\n" not in located.problem.problem
    assert located.problem.remedy


def test_a_file_that_is_not_there_is_told(path: Path) -> None:
    with pytest.raises(StackFileError, match="there is no such file"):
        stack_file.read(path, "local")


def test_a_file_that_is_no_text_is_told(path: Path) -> None:
    path.write_bytes(b"config:\n  a: \xff\xfe\n")
    with pytest.raises(StackFileError, match="cannot read the file"):
        stack_file.read(path, "local")


def test_a_file_that_is_far_too_large_is_not_read(path: Path) -> None:
    path.write_text("config:\n" + "#" * 1_048_576, encoding="utf-8")
    with pytest.raises(StackFileError, match="larger than"):
        stack_file.read(path, "local")


@given(st.text(alphabet="config:\n -{}[]&*!|>'\"#%@`ronron?,", max_size=60))
def test_no_text_makes_the_reader_crash(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "Pulumi.nonsense.yaml"
    path.write_text(text, encoding="utf-8")
    with suppress(StackFileError):
        assert stack_file.read(path, "local").configuration.stack == "local"


# -- `python -m chatons.validate` -----------------------------------------------------------------------


def test_a_good_file_can_be_used(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, write(path, GOOD))
    assert (code, out, err) == (0, f"{path}: the declaration of local can be used\n", "")


def test_every_problem_is_printed_with_file_and_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = GOOD.replace("country: FR", "country: France").replace("machine: here", "machine: hree")
    code, out, err = run(capsys, write(path, text.replace("job:1", "job:latest")))
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert lines[0] == "cannot use this declaration: 2 problems"
    assert lines[1].startswith(f"  {path}:7: ronron:collective.country: ")
    assert lines[3].startswith(f"  {path}:14: ronron:services.job.image: ")


def test_problems_are_facts_for_other_programs(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--json", write(path, GOOD.replace("country: FR", "country: France")))
    assert (code, err) == (2, "")
    answer = json.loads(out)
    assert answer["file"] == str(path)
    (row,) = answer["problems"]
    assert row["key"] == "ronron:collective.country"
    assert (row["file"], row["line"]) == (str(path), 7)
    assert row["problem"]
    assert row["remedy"]
    code, out, _ = run(capsys, "--json", write(path, GOOD))
    assert (code, json.loads(out)) == (0, {"file": str(path), "problems": []})


def test_several_files_are_checked_in_one_call(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write(path, GOOD)
    (tmp_path / "other").mkdir()
    bad = write(tmp_path / "other" / "Pulumi.local.yaml", GOOD.replace("country: FR", "country: France"))
    code, out, err = run(capsys, "--json", bad, good)
    answers = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (2, "")
    assert [answer["file"] for answer in answers] == [str(bad), str(good)]
    assert [len(answer["problems"]) for answer in answers] == [1, 0]
    code, out, err = run(capsys, bad, good)
    assert (code, out) == (2, f"{good}: the declaration of local can be used\n")
    assert f"{bad}:7: ronron:collective.country: " in err


def test_stack_names_the_stack_of_one_file_only(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(capsys, write(path, GOOD), path, "--stack", "local")
    assert ended.value.code == 2
    assert "--stack names the stack of one file" in capsys.readouterr().err


def test_the_stack_can_be_named_where_the_file_does_not_tell_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "draft.yaml", GOOD)
    with pytest.raises(SystemExit) as ended:
        run(capsys, path)
    assert ended.value.code == 2
    assert "pass it with --stack" in capsys.readouterr().err
    assert run(capsys, path, "--stack", "local")[0] == 0
    code, _, err = run(capsys, path, "--stack", "production")
    assert (code, "has no digest" in err) == (2, True)


def test_a_broken_file_is_one_screen_and_no_traceback(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, write(path, "config:\n  ronron:services: {pad: [}\n"))
    assert code == 2
    assert f"{path}:2: this is not YAML" in err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 3


STACK_FILES = sorted([*ROOT.glob("stacks/Pulumi.*.yaml"), *ROOT.glob("examples/*/stacks/Pulumi.*.yaml")])


@pytest.mark.parametrize("example", STACK_FILES, ids=lambda example: str(example.relative_to(ROOT)))
def test_the_stacks_of_this_repository_lack_nothing_but_secrets_and_digests(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are written by a command: the secrets are the collective's own, the digests are those of today."""
    _, out, _ = run(capsys, "--json", example)
    for row in json.loads(out)["problems"]:
        if " has no digest: " in row["problem"]:
            assert "pin" in row["remedy"]
        else:
            assert row["problem"].startswith("missing secret: ")
            assert "config set --secret " in row["remedy"]


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        ("stacks", {"local"}),
        ("examples/single-host/stacks", {"ours"}),
        ("examples/proxmox/stacks", {"staging", "production"}),
    ],
)
def test_there_is_a_stack_file_for_every_environment_of_the_policy(folder: str, names: set[str]) -> None:
    policy: Any = YAML(typ="safe").load((ROOT / folder / "environments.yaml").read_text())
    assert set(policy["environments"]) == names
    files = {example for example in STACK_FILES if example.parent == ROOT / folder}
    assert {stack_file.stack_name(example) for example in files} == names


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*/Pulumi.yaml")), ids=str)
def test_an_example_is_a_project(example: Path) -> None:
    project: Any = YAML(typ="safe").load(example.read_text())
    assert (project["runtime"], project["stackConfigDir"]) == ({"name": "python"}, "stacks")
    _, imported, called = (example.parent / "__main__.py").read_text().split("\n\n")
    assert (imported, called) == ("from chatons.main import main", "main()\n")
