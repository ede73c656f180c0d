"""`python -m demo up | down | env`."""

from __future__ import annotations

import sys

from rich.console import Console

from demo.down import NotOursError, take_down
from demo.pad import PadError
from demo.places import STACK, Places
from demo.story import DemoError, Story, choose_port, refuse_taken_port, require_engine, shell_environment
from demo.watcher import WatcherError
from ronron.adapters.sql_store.store import FILE, SqlStore
from ronron.core.errors import ReconcilerError


def main(words: list[str]) -> int:
    """Run one command of the demo; returns the exit code."""
    console = Console(soft_wrap=True)
    places = Places.default()
    try:
        match words:
            case ["up"]:
                require_engine()
                port = choose_port()
                refuse_taken_port(port, ours=_has_begun(places))
                Story(places, console, port).run()
            case ["down"]:
                require_engine()
                take_down(places, lambda line: console.print(line, highlight=False))
            case ["env"]:
                sys.stdout.write(shell_environment(places) + "\n")
            case _:
                console.print("usage: python -m demo up | down | env")
                return 2
    except (DemoError, NotOursError, PadError, ReconcilerError, WatcherError) as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False)
        return 1
    return 0


def _has_begun(places: Places) -> bool:
    """Whether an earlier run may have started the edge, even if it failed later."""
    if not (places.state / FILE).exists():
        return False
    with SqlStore(places.state) as store:
        return store.load(STACK).attempted is not None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
