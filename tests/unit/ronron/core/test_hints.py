from __future__ import annotations

import pytest

from ronron.core.errors import BackupError
from ronron.core.hints import for_environment, naming


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        ("run `ronron update ENV` again", "run `ronron update staging` again"),
        ("ronron doctor ENV, then ronron update ENV", "ronron doctor staging, then ronron update staging"),
        ("set RONRON_ENVIRONMENT", "set RONRON_ENVIRONMENT"),
        ("", ""),
    ],
)
def test_a_hint_names_the_environment(hint: str, said: str) -> None:
    assert for_environment(hint, "staging") == said


def test_errors_of_a_block_name_the_environment() -> None:
    with pytest.raises(BackupError) as caught, naming("staging"):
        raise BackupError("cannot restore", hint="see ronron backup list ENV pad")
    assert caught.value.hint == "see ronron backup list staging pad"
