"""The operator's settings: where they come from, their defaults, and what is refused."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from ronron.core.errors import ConfigError, ConfigProblemsError
from ronron.settings import EngineSettings, Settings, load_settings, variables


@pytest.fixture(autouse=True)
def bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the shell that runs the tests, a home of our own, and a directory in no repository."""
    for name in list(os.environ):
        if name.upper().startswith(("RONRON_", "PULUMI_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RONRON_SETTINGS_FILE", "")
    monkeypatch.setenv("RONRON_INSTALLATION", str(tmp_path / "installation.json"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def problems(**options: object) -> list[str]:
    with pytest.raises(ConfigProblemsError) as caught:
        load_settings(**options)
    return [str(problem) for problem in caught.value.problems]


# -- where they come from --------------------------------------------------------------------------


def test_nothing_needs_to_be_set(tmp_path: Path) -> None:
    settings = load_settings()
    state = tmp_path / "home/.local/state/ronron"
    assert settings.state == state
    assert settings.backend_url == f"file://{state}/pulumi-state"
    assert settings.poll == timedelta(seconds=30)
    assert settings.workers == 4
    assert settings.backup_poll == timedelta(minutes=15)
    assert (settings.policy_reference, settings.policy_file) == ("HEAD", "stacks/environments.yaml")
    assert settings.pulumi_plugins is None
    assert settings.passphrase is None
    assert settings.passphrase_file is None
    assert settings.pass_environment == ()
    assert settings.debug is False


def test_every_setting_has_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    written = {
        "RONRON_REPOSITORY": "https://forge.example/infra.git",
        "RONRON_STATE": "/srv/ronron",
        "RONRON_POLL": "2m",
        "RONRON_WORKERS": "8",
        "RONRON_BACKUP_POLL": "5m",
        "RONRON_POLICY_REFERENCE": "trusted",
        "RONRON_POLICY_FILE": "policy.yaml",
        "RONRON_FIND_LINKS": "/srv/wheels",
        "RONRON_PULUMI_PLUGINS": "/srv/plugins",
        "RONRON_INSTALLATION": "/srv/installation.json",
        "PULUMI_BACKEND_URL": "s3://bucket?region=eu",
        "PULUMI_CONFIG_PASSPHRASE": "open sesame",
        "PULUMI_CONFIG_PASSPHRASE_FILE": "/etc/ronron/passphrase",
        "RONRON_PASS_ENVIRONMENT": "HTTPS_PROXY, PROXMOX_VE_API_TOKEN",
        "RONRON_PREVIEW_DEADLINE": "5m",
        "RONRON_UPDATE_DEADLINE": "2h",
        "RONRON_GIT_TIMEOUT": "10s",
        "RONRON_DEBUG": "true",
    }
    assert set(written) == set(variables().values())
    for name, value in written.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.repository == "https://forge.example/infra.git"
    assert settings.state == Path("/srv/ronron")
    assert settings.poll == timedelta(minutes=2)
    assert settings.workers == 8
    assert settings.backup_poll == timedelta(minutes=5)
    assert (settings.policy_reference, settings.policy_file) == ("trusted", "policy.yaml")
    assert settings.find_links == "/srv/wheels"
    assert settings.git_timeout == timedelta(seconds=10)
    assert settings.debug is True
    engine = settings.engine()
    assert engine.passphrase is not None
    assert engine.passphrase.get_secret_value() == "open sesame"
    assert engine == EngineSettings(
        home=Path("/srv/ronron/pulumi-home"),
        backend_url="s3://bucket?region=eu",
        plugins=Path("/srv/plugins"),
        passphrase=engine.passphrase,
        passphrase_file=Path("/etc/ronron/passphrase"),
        pass_environment=("HTTPS_PROXY", "PROXMOX_VE_API_TOKEN"),
        preview_deadline=timedelta(minutes=5),
        update_deadline=timedelta(hours=2),
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("https://wheels.example/simple", "https://wheels.example/simple"),
        ("file:///srv/wheels", "file:///srv/wheels"),
        ("~/wheels", "HOME/wheels"),
        ("wheels", "HERE/wheels"),
    ],
)
def test_wheels_are_in_a_directory_or_behind_a_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, read: str
) -> None:
    monkeypatch.setenv("RONRON_FIND_LINKS", written)
    expected = read.replace("HOME", str(tmp_path / "home")).replace("HERE", str(tmp_path))
    assert load_settings().find_links == expected


def test_wheels_behind_another_url_are_refused_and_credentials_are_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert problems(find_links="ftp://wheels.example") == [
        "--find-links: cannot take wheels from `ftp://wheels.example`; "
        "write the path of a directory, or an https URL"
    ]
    monkeypatch.setenv("RONRON_FIND_LINKS", "https://bot:open-sesame@wheels.example")
    assert "open-sesame" in load_settings().secrets()
    assert "sesame" not in repr(load_settings())


def test_an_option_goes_before_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONRON_STATE", "/srv/a")
    monkeypatch.setenv("RONRON_REPOSITORY", "/srv/a.git")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://a")
    settings = load_settings(state=Path("/srv/b"), repository="/srv/b.git", backend_url="s3://b", debug=True)
    assert (settings.state, settings.repository, settings.backend_url) == (
        Path("/srv/b"),
        "/srv/b.git",
        "s3://b",
    )
    assert settings.debug is True


def test_an_option_that_was_not_given_leaves_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONRON_STATE", "/srv/a")
    assert load_settings(state=None, repository=None, debug=None).state == Path("/srv/a")


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in variables().values():
        monkeypatch.setenv(name, "")
    settings = load_settings()
    assert settings.poll == timedelta(seconds=30)
    assert settings.backend_url.startswith("file://")


def test_an_empty_passphrase_is_a_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "")
    passphrase = load_settings().passphrase
    assert passphrase is not None
    assert passphrase.get_secret_value() == ""
    assert load_settings().secrets() == frozenset()


def test_a_dotenv_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RONRON_WORKERS=9\n", encoding="utf-8")
    assert load_settings().workers == 4


# -- places ----------------------------------------------------------------------------------------


def test_the_state_lies_where_the_system_keeps_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    assert load_settings().state == Path("/var/state/ronron")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert load_settings().state == tmp_path / "home/.local/state/ronron"


def test_paths_are_absolute_from_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RONRON_STATE", "~/s")
    monkeypatch.setenv("RONRON_REPOSITORY", "../infra.git")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", "passphrase")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file://~/pulumi")
    settings = load_settings()
    assert settings.state == tmp_path / "home/s"
    assert settings.repository == str(tmp_path.parent / "infra.git")
    assert settings.passphrase_file == tmp_path / "passphrase"
    assert settings.backend_url == f"file://{tmp_path}/home/pulumi"


def test_the_repository_around_the_current_directory_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clone/.git").mkdir(parents=True)
    (tmp_path / "clone/a/b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "clone/a/b")
    assert load_settings().repository == str(tmp_path / "clone")


def test_a_bare_repository_and_a_linked_work_tree_are_repositories_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare.git"
    for part in ("objects", "refs"):
        (bare / part).mkdir(parents=True)
    (bare / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    monkeypatch.chdir(bare)
    assert load_settings().repository == str(bare)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / ".git").write_text("gitdir: ../bare.git/worktrees/tree\n", encoding="utf-8")
    monkeypatch.chdir(tree)
    assert load_settings().repository == str(tree)


def test_outside_of_every_repository_one_must_be_named(tmp_path: Path) -> None:
    settings = load_settings()
    with pytest.raises(ConfigError, match="cannot find a git repository here") as caught:
        _ = settings.repository
    assert caught.value.where == str(tmp_path)
    assert "RONRON_REPOSITORY" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "https://forge.example/infra.git",
        "ssh://git@forge.example:2222/infra.git",
        "git@forge.example:collective/infra.git",
        "http://127.0.0.1:3000/infra.git",
        "file:///srv/infra.git",
        "/srv/a:b/infra.git",
    ],
)
def test_urls_and_paths_of_git_are_taken_as_they_are(url: str) -> None:
    assert load_settings(repository=url).repository == url


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "--upload-pack=touch /tmp/x",
        "ext::sh -c touch% /tmp/x",
        "fd::3",
        "ftp://forge.example/infra.git",
        "javascript://x",
        "/srv/a\nb",
        "/srv/\x1b[31m",
    ],
)
def test_a_repository_that_could_run_something_is_refused(url: str) -> None:
    [problem] = problems(repository=url)
    assert problem.startswith("--repository: cannot ")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("RONRON_POLL", "30", "cannot read the duration `30`"),
        ("RONRON_POLL", "0s", "cannot use so short a duration as `0s`; write `1s` or more"),
        ("RONRON_WORKERS", "0", "cannot use `0` here; write 1 or more"),
        ("RONRON_WORKERS", "65", "cannot use `65` here; write 64 or less"),
        ("RONRON_WORKERS", "many", "cannot use `many` here; write a whole number"),
        ("RONRON_DEBUG", "maybe", "cannot use `maybe` here; write `true` or `false`"),
        ("RONRON_POLICY_REFERENCE", "-x", "cannot follow `-x`"),
        ("RONRON_POLICY_FILE", "/etc/policy.yaml", "cannot use the path `/etc/policy.yaml`"),
        ("RONRON_POLICY_FILE", "../policy.yaml", "cannot use the path `../policy.yaml`"),
        ("RONRON_REPOSITORY", "ext::sh", "cannot use the repository `ext::sh`"),
        ("RONRON_PREVIEW_DEADLINE", "1s", "cannot use so short a duration as `1s`; write `10s` or more"),
        ("RONRON_UPDATE_DEADLINE", "8d", "cannot use so long a duration as `8d`; write `7d` or less"),
        ("RONRON_GIT_TIMEOUT", "x", "cannot read the duration `x`"),
        ("RONRON_PASS_ENVIRONMENT", "A B-C", "cannot pass the variable `B-C`"),
        ("RONRON_PASS_ENVIRONMENT", "RONRON_STATE", "cannot pass the variable `RONRON_STATE`"),
        ("RONRON_PASS_ENVIRONMENT", "PULUMI_CONFIG_PASSPHRASE", "cannot pass the variable `PULUMI_CONFIG_"),
        ("PULUMI_BACKEND_URL", "ftp://x", "cannot keep state in `ftp://x`"),
        ("PULUMI_BACKEND_URL", "/srv/state", "cannot keep state in `/srv/state`"),
        ("PULUMI_BACKEND_URL", "file://state", "cannot keep state in `file://state`: a relative path"),
    ],
)
def test_a_wrong_value_is_told_with_its_variable(
    name: str, value: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    [found] = problems()
    assert found.startswith(f"{name}: {problem}")


def test_a_wrong_option_is_told_with_its_name() -> None:
    assert problems(state="")[0].startswith("--state: cannot use the path ``")
    assert problems(git_timeout="0s")[0].startswith("--git-timeout: ")


def test_all_wrong_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONRON_POLL", "often")
    monkeypatch.setenv("RONRON_WORKERS", "many")
    monkeypatch.setenv("RONRON_REPO", "/srv/x.git")
    assert [problem.partition(":")[0] for problem in problems()] == [
        "RONRON_REPO",
        "RONRON_POLL",
        "RONRON_WORKERS",
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("RONRON_POL", "RONRON_POLL"),
        ("RONRON_REPO", "RONRON_REPOSITORY"),
        ("RONRON_STATE_DIR", "RONRON_STATE"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_one_that_was_meant(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "x")
    assert problems() == [f"{name}: cannot use it: there is no such setting; write `{meant}`, or unset it"]


def test_variables_of_other_programs_are_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONRON_CACHE", "x")
    monkeypatch.setenv("RONRON", "x")
    monkeypatch.setenv("PULUMI_STACK", "x")
    assert load_settings().workers == 4


# -- secrets ---------------------------------------------------------------------------------------


def test_no_secret_is_in_what_is_printed_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONRON_REPOSITORY", "https://bot:hunter2@forge.example/infra.git")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "postgres://ronron:swordfish@db.example/state?sslkey=hidden")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "open sesame")
    settings = load_settings()
    for text in (repr(settings), str(settings), repr(settings.engine()), str(settings.engine())):
        assert not any(secret in text for secret in ("hunter2", "swordfish", "open sesame"))
    assert "forge.example/infra.git" in repr(settings)
    assert "db.example/state" in repr(settings)
    assert settings.repository == "https://bot:hunter2@forge.example/infra.git"


def test_no_secret_is_in_what_is_said_of_a_wrong_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONRON_REPOSITORY", "ftp://bot:hunter2@forge.example/infra.git")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "mysql://ronron:swordfish@db.example/state")
    text = "".join(problems())
    assert "hunter2" not in text
    assert "swordfish" not in text


def test_the_secrets_of_the_settings_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "passphrase").write_text("from a file\n", encoding="utf-8")
    monkeypatch.setenv("RONRON_REPOSITORY", "https://collective:hunter%402@forge.example/infra.git")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "postgres://ronron:swordfish@db.example/state")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "open sesame")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", "passphrase")
    monkeypatch.setenv("RONRON_PASS_ENVIRONMENT", "PROXMOX_VE_API_TOKEN,HTTPS_PROXY,UNSET_PASSWORD")
    monkeypatch.setenv("PROXMOX_VE_API_TOKEN", "root@pam!x=1234")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    assert load_settings().secrets() == {
        "open sesame",
        "from a file",
        "hunter%402",
        "hunter@2",
        "swordfish",
        "root@pam!x=1234",
    }


def test_a_token_that_stands_alone_is_a_secret_and_a_name_is_none() -> None:
    token = "glpat-0123456789abcdefghij"
    assert load_settings(repository=f"https://{token}@forge.example/x").secrets() == {token}
    assert load_settings(repository="https://collective@forge.example/x").secrets() == frozenset()
    assert load_settings(repository="git@forge.example:x").secrets() == frozenset()


def test_a_passphrase_file_that_cannot_be_read_is_left_to_the_engine() -> None:
    assert load_settings(passphrase_file="/nowhere/passphrase").secrets() == frozenset()


def test_settings_do_not_change() -> None:
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.workers = 5  # type: ignore[misc]
    assert isinstance(settings, Settings)
