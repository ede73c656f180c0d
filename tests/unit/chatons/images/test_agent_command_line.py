"""Commands of the agent, and their names in interface 1."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatons.images.backup_agent.__main__ import main, parsed
from chatons.images.backup_agent.configuration import Places


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            ["now", "--reason", "update", "--revision", "abc"],
            ["backup", "--reason", "update", "--revision", "abc"],
        ),
        (["put", "--snapshot", "1", "--into", "x"], ["restore", "--snapshot", "1", "--into", "x"]),
        (["put", "--snapshot", "1", "--files"], ["restore", "--snapshot", "1", "--files"]),
        (["swap", "--from", "x"], ["rename-database", "--from", "x"]),
        (["drilled"], ["record-drill"]),
        (["keep", "ronron.tar"], ["backup-bundle", "ronron.tar"]),
        (["keep", "now"], ["backup-bundle", "now"]),
    ],
)
def test_a_command_name_of_interface_1_means_the_new_command(old: list[str], new: list[str]) -> None:
    assert parsed(old) == parsed(new)
    assert parsed(old).command == new[0]


@pytest.mark.parametrize(
    "words",
    [[], ["nonsense"], ["backup"], ["backup", "--reason", "whim"], ["restore", "--snapshot", "1"], ["now"]],
)
def test_a_command_line_that_is_not_understood_exits_with_2_and_prints_no_document(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words, Places(state=tmp_path / "state"))
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""
    assert not list(tmp_path.iterdir())
