"""The steps of the demo, from an empty directory to a pushed change that is live."""

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
    """The demo cannot continue; the text has the cause and a hint."""


@dataclass
class Story:
    """One run of the demo."""

    places: Places
    console: Console
    port: int

    def run(self) -> None:
        """Run every step.

        Raises:
            DemoError, PadError, WatcherError: a step failed.
        """
        begun = time.monotonic()
        self._say("1  Make the repository of a collective")
        self.places.prepare()
        kept = collective.encrypted_secrets(self.places)
        commit = collective.make_repository(self.places)
        self._note(f"{self.places.repository}, made from this clone at {commit[:12]}")
        if not collective.is_committed():
            self._note("this clone has uncommitted changes; the demo shows what is committed")
        self._describe(kept)
        first = collective.commit(self.places, "Describe our collective")
        collective.push(self.places)

        pad = Pad("pad.localhost", self.port, f"{self.places.name}-{STACK}-pad")
        with watching(self.places) as watcher:
            self._say("2  Run ronron watch: preview, verdict, update, probe")
            self._follow(watcher, first, pad, FIRST_TITLE, FIRST_PASS_SECONDS)
            self._say("3  Write a pad")
            pad.write(KEEPSAKE, WRITTEN)
            self._note(f"{pad.url}/p/{KEEPSAKE}: {WRITTEN}")

            self._say("4  Push a commit that changes the title and the default text")
            collective.edit(self.places.stack_file, lambda document: _name(document, NEW_TITLE, NEW_TEXT))
            second = collective.commit(self.places, "Change the title and the default text")
            collective.push(self.places)
            self._note(f"pushed {second[:12]}")
            self._follow(watcher, second, pad, NEW_TITLE, NEXT_PASS_SECONDS)

            self._say("5  Read the pads as a visitor")
            self._check(pad)
        self._say("6  Take a backup and prove that it can be restored")
        self._ronron("backup", "now", STACK, seconds=BACKUP_SECONDS)
        self._ronron("drill", STACK, seconds=BACKUP_SECONDS)
        self._ronron("backup", "status", STACK)
        self._say("7  Show the status and the history")
        self._ronron("status")
        self._ronron("history", "--limit", "2")
        self._say(f"Done in {time.monotonic() - begun:.0f} s; the services keep running")
        self._addresses(pad)

    # -- the declaration ---------------------------------------------------------------------------

    def _describe(self, kept: collective.Document) -> None:
        images = local_images()
        if images:
            self._note("no image registry is reachable; using the images that were built here:")
            for image in images.values():
                self._note(f"  {image}")

        def change(document: collective.Document) -> None:
            _name(document, FIRST_TITLE, FIRST_TEXT)
            config = document["config"]
            config["ronron:edge"]["http_port"] = self.port
            # The demo writes a pad by Etherpad's API, which requires a login since version 2 by default.
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
        """Print the watcher's output until a commit is live and the pad has its title."""
        until = time.monotonic() + seconds
        with SqlStore(self.places.state) as store:
            while True:
                for line in watcher.new_lines():
                    self.console.print(f"   [dim]│[/] {line}", highlight=False, markup=True)
                record = store.load(STACK)
                idle = record.running is None
                if idle and record.current and record.current.commit == commit and pad.title() == title:
                    return
                if idle and record.attempted and record.attempted.commit == commit and record.failed:
                    raise DemoError(f"{record.failed.message}\nhint: ronron explain {STACK}")
                if time.monotonic() > until:
                    raise DemoError(
                        f"{commit[:12]} is not live after {seconds:.0f} s\nhint: read {self.places.watch_log}"
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
        """Run a command and print its output.

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
            raise DemoError(f"`{command}` ended with {done.returncode}\nhint: ronron explain {STACK}")

    def _addresses(self, pad: Pad) -> None:
        self._note(f"the pad          {pad.url}/p/{KEEPSAKE}")
        self._note(f"the repository   git clone {self.places.repository}")
        self._note("the snapshots    ronron backup list local     (in the shell environment below)")
        self._note("watch            ronron watch                 (in the shell environment below)")
        self._note("preview          pulumi preview               (in it and in this clone: no change)")
        self._note("remove it        make demo-down")
        self.console.print('\nThe shell environment:\n\n    eval "$(make -s demo-env)"\n')

    def _say(self, line: str) -> None:
        self.console.print(f"\n[bold cyan]{line}[/]", highlight=False)

    def _note(self, line: str) -> None:
        self.console.print(f"   {line}", highlight=False, markup=False, soft_wrap=True)


def require_engine() -> None:
    """Refuse to start without a Pulumi engine.

    Raises:
        DemoError: none is on PATH.
    """
    if shutil.which("pulumi") is None:
        raise DemoError("no Pulumi engine is on PATH\nhint: run make demo, which gets one")


def choose_port(environment: Mapping[str, str] = os.environ) -> int:
    """The port of the demo's edge: RONRON_DEMO_PORT or 8080.

    Raises:
        DemoError: it is not a port.
    """
    text = environment.get("RONRON_DEMO_PORT", str(DEFAULT_PORT))
    if not text.isdigit() or not 1024 <= int(text) <= 65535:
        raise DemoError(f"RONRON_DEMO_PORT is {text!r}\nhint: use a number from 1024 to 65535")
    return int(text)


def refuse_taken_port(port: int, ours: bool) -> None:
    """Refuse to start on a port that another program uses.

    Raises:
        DemoError: another program listens on it.
    """
    if ours:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise DemoError(
                f"port {port} is in use by another program\nhint: run RONRON_DEMO_PORT={port + 1} make demo"
            ) from None


def shell_environment(places: Places) -> str:
    """Lines of `export` for a shell in the clone: then `ronron` and `pulumi` use the demo."""
    variables = {**places.ronron_environment(), **places.pulumi_environment()}
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items()))


def _name(document: collective.Document, title: str, text: str) -> None:
    pad = document["config"]["ronron:services"]["pad"]
    pad["title"] = title
    pad["default_text"] = text
