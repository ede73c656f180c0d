"""The story that the demo tells, from an empty directory to a pushed change that is live."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console

from demo import collective
from demo.pad import Pad, PadError
from demo.places import NAME, STACK, Places
from demo.watcher import Watcher, watching
from ronron.adapters.sql_store.store import SqlStore
from toolchain.images import local_images

FIRST_TITLE = "The pads of our collective"
FIRST_TEXT = "Welcome. This text is in stacks/Pulumi.local.yaml."
NEW_TITLE = "The pads of our collective, since the merge"
NEW_TEXT = "Welcome. This text came with a pushed commit."
WRITTEN = "Written before the change, still here after it."
KEEPSAKE, FRESH = "keepsake", "fresh"

SECRETS = ("pad-database-password", "pad-admin-password", "backup.password")
FIRST_PASS_SECONDS = 480
"""Pulling images over a slow line takes minutes; on a machine that has them it is done in half of one."""
NEXT_PASS_SECONDS = 180
BACKUP_SECONDS = 180
"""A drill starts a database and a pad of its own; on a quiet machine it takes a tenth of this."""
DEFAULT_PORT = 8080


class DemoError(Exception):
    """The demo cannot go on; the text says why and what to do."""


@dataclass
class Story:
    """One run of the demo."""

    places: Places
    console: Console
    port: int

    def run(self) -> None:
        """Tell it all.

        Raises:
            DemoError, PadError, WatcherError: it stopped, with the reason.
        """
        begun = time.monotonic()
        self._say("1  A repository, as a collective would have it")
        self.places.prepare()
        kept = collective.kept_secrets(self.places)
        commit = collective.make_repository(self.places)
        self._note(f"{self.places.repository}, made from this clone at {commit[:12]}")
        if not collective.is_committed():
            self._note("this clone has uncommitted changes; the demo shows what is committed")
        self._describe(kept)
        first = collective.commit(self.places, "Describe our collective")
        collective.push(self.places)

        pad = Pad("pad.localhost", self.port, f"{self.places.name}-{STACK}-pad")
        with watching(self.places) as watcher:
            self._say("2  ronron watch brings it up: preview, verdict, update, probe")
            self._follow(watcher, first, pad, FIRST_TITLE, FIRST_PASS_SECONDS)
            self._say("3  Somebody writes a pad")
            pad.write(KEEPSAKE, WRITTEN)
            self._note(f"{pad.url}/p/{KEEPSAKE}: {WRITTEN}")

            self._say("4  A commit changes the title and the default text, and is pushed")
            collective.edit(self.places.stack_file, lambda document: _name(document, NEW_TITLE, NEW_TEXT))
            second = collective.commit(self.places, "Greet our visitors anew")
            collective.push(self.places)
            self._note(f"pushed {second[:12]}")
            self._follow(watcher, second, pad, NEW_TITLE, NEXT_PASS_SECONDS)

            self._say("5  What a visitor sees")
            self._check(pad)
        self._say("6  A backup, and the proof that it can be restored")
        self._ronron("backup", "now", STACK, seconds=BACKUP_SECONDS)
        self._ronron("drill", STACK, seconds=BACKUP_SECONDS)
        self._ronron("backup", "status", STACK)
        self._say("7  What the next volunteer sees")
        self._ronron("status")
        self._ronron("history", "--limit", "2")
        self._say(f"Done in {time.monotonic() - begun:.0f} s; the services go on running")
        self._addresses(pad)

    # -- the declaration ---------------------------------------------------------------------------

    def _describe(self, kept: collective.Document) -> None:
        images = local_images()
        if images:
            self._note("no registry of images answers, so the images are the ones that were built here:")
            for image in images.values():
                self._note(f"  {image}")

        def change(document: collective.Document) -> None:
            _name(document, FIRST_TITLE, FIRST_TEXT)
            config = document["config"]
            config["ronron:edge"]["http_port"] = self.port
            # The demo writes a pad by Etherpad's API, which wants a login from version 2 on, unless told so.
            config["ronron:services"]["pad"]["environment"] = {"AUTHENTICATION_METHOD": "apikey"}
            config.setdefault("ronron:backup", {})["repository"] = str(self.places.snapshots)
            if images:
                config["ronron:edge"]["image"] = images["edge"]
                config["ronron:database"]["image"] = images["postgres"]
                config["ronron:services"]["pad"]["image"] = images["etherpad"]
            collective.restore_secrets(document, kept)

        collective.edit(self.places.stack_file, change)
        if self.places.name != NAME:
            collective.edit(self.places.project_file, lambda project: project.update(name=self.places.name))
        environment = {
            **self.places.pulumi_environment(),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.places.passphrase),
        }
        collective.set_missing_secrets(self.places, SECRETS, environment)
        self._note(f"secrets: {', '.join(SECRETS)}, encrypted in the stack file")

    # -- watching ----------------------------------------------------------------------------------

    def _follow(self, watcher: Watcher, commit: str, pad: Pad, title: str, seconds: float) -> None:
        """Show what the watcher says until a commit is live and the pad has its title."""
        until = time.monotonic() + seconds
        with SqlStore(self.places.state) as store:
            while True:
                for line in watcher.said():
                    self.console.print(f"   [dim]│[/] {line}", highlight=False, markup=True)
                record = store.load(STACK)
                settled = record.running is None
                if settled and record.current and record.current.commit == commit and pad.title() == title:
                    return
                if settled and record.attempted and record.attempted.commit == commit and record.failed:
                    raise DemoError(f"{record.failed.message}\nwhat to do: ronron explain {STACK}")
                if time.monotonic() > until:
                    raise DemoError(
                        f"{commit[:12]} is not live after {seconds:.0f} s; see {self.places.watch_log}"
                    )
                time.sleep(0.2)

    def _check(self, pad: Pad) -> None:
        pad.create(FRESH)
        found = {
            "title": (pad.title(), NEW_TITLE),
            f"text of the new pad /p/{FRESH}": (pad.text(FRESH).strip(), NEW_TEXT),
            f"text of the old pad /p/{KEEPSAKE}": (pad.text(KEEPSAKE).strip(), WRITTEN),
        }
        for what, (seen, wanted) in found.items():
            if seen != wanted:
                raise PadError(f"the {what} is {seen!r} and not {wanted!r}")
            self._note(f"{what}: {seen}")

    # -- showing -----------------------------------------------------------------------------------

    def _ronron(self, *words: str, seconds: float = 60) -> None:
        """Show what a command says.

        Raises:
            DemoError: it did not end with 0.
        """
        command = f"ronron {' '.join(words)}"
        self._note(f"$ {command}")
        environment = collective.clean_environment(self.places.ronron_environment())
        done = subprocess.run(
            [sys.executable, "-m", "ronron.commands.cli", *words],
            env=environment,
            check=False,
            timeout=seconds,
        )
        if done.returncode != 0:
            raise DemoError(f"`{command}` ended with {done.returncode}\nwhat to do: ronron explain {STACK}")

    def _addresses(self, pad: Pad) -> None:
        self._note(f"the pad          {pad.url}/p/{KEEPSAKE}")
        self._note(f"the repository   git clone {self.places.repository}")
        self._note("the snapshots    ronron backup list local     (in the shell environment below)")
        self._note("go on watching   ronron watch                 (likewise)")
        self._note("by hand          pulumi preview               (likewise, in this clone: no change)")
        self._note("take it down     make demo-down")
        self.console.print('\nThe shell environment:\n\n    eval "$(make -s demo-env)"\n')

    def _say(self, line: str) -> None:
        self.console.print(f"\n[bold cyan]{line}[/]", highlight=False)

    def _note(self, line: str) -> None:
        self.console.print(f"   {line}", highlight=False, markup=False, soft_wrap=True)


def require_engine() -> None:
    """Find out that there is no Pulumi engine before anything is made.

    Raises:
        DemoError: none is on PATH.
    """
    if shutil.which("pulumi") is None:
        raise DemoError("no Pulumi engine is on PATH\nwhat to do: make demo (it gets one, then runs this)")


def choose_port(environment: Mapping[str, str] = os.environ) -> int:
    """The port of the demo's edge: RONRON_DEMO_PORT or 8080.

    Raises:
        DemoError: it is no port.
    """
    text = environment.get("RONRON_DEMO_PORT", str(DEFAULT_PORT))
    if not text.isdigit() or not 1024 <= int(text) <= 65535:
        raise DemoError(f"RONRON_DEMO_PORT is {text!r}\nwhat to do: use a number from 1024 to 65535")
    return int(text)


def refuse_taken_port(port: int, ours: bool) -> None:
    """Find out that a port is taken before anything is started.

    Raises:
        DemoError: somebody else listens on it.
    """
    if ours:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise DemoError(
                f"port {port} is taken by another program\nwhat to do: RONRON_DEMO_PORT={port + 1} make demo"
            ) from None


def shell_environment(places: Places) -> str:
    """Lines of `export` for a shell in the clone: then `ronron` and `pulumi` are about the demo."""
    variables = {**places.ronron_environment(), **places.pulumi_environment()}
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items()))


def _name(document: collective.Document, title: str, text: str) -> None:
    pad = document["config"]["ronron:services"]["pad"]
    pad["title"] = title
    pad["default_text"] = text
