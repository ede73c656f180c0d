"""The text of the systemd unit."""

from __future__ import annotations

import pytest

from ronron.core.unit import Unit, unit_text

PLAIN = Unit(command=("/opt/ronron/.venv/bin/ronron", "watch"), user="ronron", variables={})


def lines(unit: Unit) -> list[str]:
    return unit_text(unit).splitlines()


def test_what_is_not_needed_is_not_in_it() -> None:
    assert "ExecStart=/opt/ronron/.venv/bin/ronron watch" in lines(PLAIN)
    assert "User=ronron" in lines(PLAIN)
    assert not [
        line
        for line in lines(PLAIN)
        if line.startswith(("Environment", "SupplementaryGroups", "StateDirectory"))
    ]


def test_a_running_update_may_end() -> None:
    assert {"KillMode=mixed", "TimeoutStopSec=15min"} <= set(lines(PLAIN))


def test_docker_homes_and_ssh_agents_stay_open() -> None:
    words = unit_text(PLAIN)
    for breaks in ("PrivateTmp", "ProtectHome", "PrivateNetwork", "MemoryDenyWriteExecute", "PrivateUsers"):
        assert breaks not in words


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("/var/lib/ronron", "Environment=A=/var/lib/ronron"),
        ("", "Environment=A="),
        ("two words", 'Environment="A=two words"'),
        ('say "x"', 'Environment="A=say \\"x\\""'),
        ("50%", 'Environment="A=50%%"'),
        ("back\\slash", 'Environment="A=back\\\\slash"'),
        ("https://forge.example/a?b=c&d", 'Environment="A=https://forge.example/a?b=c&d"'),
    ],
)
def test_values_are_quoted_as_systemd_reads_them(value: str, line: str) -> None:
    assert line in lines(PLAIN.with_(variables={"A": value}))


def test_a_path_with_a_blank_and_a_dollar_is_quoted() -> None:
    odd = PLAIN.with_(command=("/srv/our $x/ronron", "watch"))
    assert 'ExecStart="/srv/our $$x/ronron" watch' in lines(odd)


def test_a_state_directory_and_groups_are_systemds() -> None:
    found = lines(PLAIN.with_(groups=("docker",), state_directory="ronron"))
    assert {"SupplementaryGroups=docker", "StateDirectory=ronron", "StateDirectoryMode=0700"} <= set(found)
