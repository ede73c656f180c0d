"""The commands of a page of docs/, as a person runs them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.collectives import Ran

DOCS = Path(__file__).parents[2] / "docs"


def commands(page: str, heading: str) -> list[str]:
    """The text of every `sh` block below a heading, in order.

    Args:
        page: file below docs/.
        heading: the text of the heading, without its signs.
    """
    text = (DOCS / page).read_text()
    found = re.search(rf"^(#+) {re.escape(heading)}$\n", text, re.MULTILINE)
    assert found is not None, f"{page} has no heading {heading!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    section = rest[: end.start()] if end is not None else rest
    blocks = re.findall(r"^( *)```sh\n(.*?)^ *```$", section, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in blocks]


def each_command(block: str) -> list[str]:
    """The commands of a block: a line, or a part of one between `&&`; a pipeline is one command."""
    lines = (line.partition(" #")[0].strip() for line in block.splitlines())
    return [part.strip() for line in lines for part in line.split("&&") if part.strip()]


class Shell:
    """A shell that keeps its directory and what was exported from one block of commands to the next.

    Args:
        home: its home directory.
        environment: at the beginning.
        words: what is written instead of the examples of the page, such as a URL.
    """

    def __init__(self, home: Path, environment: Mapping[str, str], words: Mapping[str, str]) -> None:
        self._exports = home / ".exports"
        self._home, self._words = home, words
        self._environment = {**environment, "HOME": str(home)}
        home.mkdir(parents=True, exist_ok=True)
        self._exports.touch()

    @property
    def directory(self) -> Path:
        """Where the shell is."""
        left = Path(f"{self._exports}.directory")
        return Path(left.read_text().splitlines()[-1]) if left.exists() else self._home

    def run(self, block: str, seconds: float = 400) -> Ran:
        """Run the lines of a block, to the first that fails."""
        for word, instead in self._words.items():
            block = block.replace(word, instead)
        left = f"export -p > {self._exports}; pwd >> {self._exports}.directory"
        script = f". {self._exports}\ntrap '{left}' EXIT\nset -e\n{block}\n"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)
