"""Finds the cause in the messages of programs, providers and the engine. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from ronron.adapters.pulumi_engine.events import Diagnostic

# None of these may match line feeds at its beginning or search for its end without a limit: a very long
# output, which any program can write, would then take quadratic time.
_FRAME = re.compile(r'^[ \t]+File "(?P<file>[^"]+)", line (?P<line>\d+)', re.M)
_NOT_THE_PROGRAMS = re.compile(r"site-packages|/lib/python3|pulumi-language-python|<frozen|<string>")
_AROUND = re.compile(
    r"^(?:Program failed with an unhandled exception:"
    r"|Running program '.*' failed with an unhandled exception:"
    r"|(?:error: )?an unhandled error occurred: (?:program failed: (?:waiting for RPCs: )?)?)\s*"
)
_EMPTY = re.compile(
    r"^(?:program exited with non-zero exit code: \d+|exit status \d+"
    r"|Resource monitor has terminated, shutting down|(?:update|preview) failed|update canceled)\s*$"
)
# The bridge of Terraform providers repeats a cause after the place in its own source.
_BRIDGE = re.compile(
    r"^[ \t]*(?:sdk-v2/provider2?\.go:\d+|/\S+provider2?\.go:\d+): sdk\.helper_schema: "
    r"(?:[\s\S]{0,4000}?: provider=\S+|.*)[ \t\r]*$",
    re.M,
)
_LISTED = re.compile(
    r"^[ \t]*(?:(?:\d+ errors? occurred:|\* )[ \t]*(?:(?:creating|updating|deleting) urn:\S+: )?)+"
)
_ERROR = re.compile(r"^error: ", re.M)
_KIND = re.compile(r"^(?:[a-z_]\w{0,80}\.){1,12}[A-Z]\w{0,80}: ")
"""The class of an exception as Python prints it; without a module it may be part of the message."""
_STOPPED = ("KeyboardInterrupt", "no running event loop", "grpc: the client connection is closing")
_MOST_LINES = 12
_LONGEST_END = 64 * 1024
"""Characters at each end of a text that are searched for its cause."""


class Words(NamedTuple):
    """The cause, and the file and line of the program, if known."""

    message: str
    where: str = ""


def last_words(text: str) -> Words:
    """The last lines of a text; of a Python traceback, the exception and the program's last frame."""
    text = _ends(text)
    frames = list(_FRAME.finditer(text))
    if not frames:
        return Words("\n".join(_lines(text)[-_MOST_LINES:]).removeprefix("error: "))
    own = [frame for frame in frames if not _NOT_THE_PROGRAMS.search(frame["file"])]
    where = f"{own[-1]['file'].rpartition('/')[2]}, line {own[-1]['line']}" if own else ""
    after = text[frames[-1].end() :].splitlines()[1:]
    # Below a frame come its source and carets, indented; the exception begins at the margin.
    begin = next((n for n, line in enumerate(after) if line and not line[0].isspace()), len(after))
    message = "\n".join(_lines("\n".join(after[begin:]))[:_MOST_LINES])
    return Words(message or "it raised an exception", where)


def engine_words(text: str) -> str:
    """The engine's own error on its standard error, without what libraries wrote before it."""
    return text[match.start() :] if (match := _ERROR.search(text)) else text


def plain_cause(text: str) -> str:
    """The cause in one line, without prefixes and repetitions."""
    found = []
    for line in last_words(_BRIDGE.sub("", _ends(text))).message.splitlines():
        found.append(_KIND.sub("", _LISTED.sub("", line).removeprefix("error: ")).strip())
    return "; ".join(dict.fromkeys(part for part in found if part))


def program_words(diagnostics: Iterable[Diagnostic]) -> Words | None:
    """The program's own error; None where it did not fail.

    What it logged as an error counts more than its exit code. The traceback of a program that the engine
    interrupted is not a cause.
    """
    errors: list[Words] = []
    said: list[str] = []
    failed = False
    for one in diagnostics:
        if one.urn and "::pulumi:pulumi:Stack::" not in one.urn:
            continue
        if one.severity == "info#err":
            said.append(one.message)
        if one.severity != "error":
            continue
        failed = True
        bare = _AROUND.sub("", one.message.strip())
        if bare and not _EMPTY.match(bare):
            words = last_words(bare)
            if not any(stop in words.message for stop in _STOPPED):
                errors.append(words)
    if errors:
        where = next((words.where for words in errors if words.where), "")
        return Words("\n".join(dict.fromkeys(words.message for words in errors)), where)
    # A program that died before it could connect to the engine has only its standard error.
    words = last_words("".join(said))
    if failed and words.message and not any(stop in words.message for stop in _STOPPED):
        return words
    return Words("the program ended without an error message") if failed else None


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines() if line.strip()]


def _ends(text: str) -> str:
    """The text without the middle of a long one."""
    if len(text) <= 2 * _LONGEST_END:
        return text
    return f"{text[:_LONGEST_END]}\n{text[-_LONGEST_END:]}"
