"""The flags that docker run and podman run share."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from capadvise.errors import BadInput
from capadvise.formats.declared import Declared
from capadvise.formats.snippet import Snippet, comment

MAX_LENGTH = 4 << 20
"""A longer text is no script that a person keeps."""
_SWITCHES = frozenset(
    (
        *("-d", "-i", "-t", "-P", "-q", "--detach", "--interactive", "--tty", "--publish-all"),
        *("--quiet", "--rm", "--init", "--privileged", "--read-only", "--no-healthcheck"),
        *("--oom-kill-disable", "--sig-proxy", "--disable-content-trust", "--tls-verify"),
        *("--http-proxy", "--env-host", "--no-hosts", "--no-hostname", "--read-only-tmpfs"),
        *("--replace", "--rmi", "--rootfs", "--passwd", "--unsetenv-all", "--help"),
    )
)
"""Flags that take no word after them; all others do, unless they are written with ``=``."""


def render(
    snippet: Snippet,
    *,
    no_new_privileges: bool,
    notes: tuple[str, ...] = (),
    sysctls: Mapping[str, str] | None = None,
) -> str:
    """One line of flags, the reasons before it."""
    words = ["--cap-drop=ALL", *(f"--cap-add={cap.short}" for cap, _ in snippet.caps)]
    if not snippet.root:
        words.append(f"--user={snippet.user}")
    if no_new_privileges:
        words.append("--security-opt=no-new-privileges")
    words += [f"--sysctl={key}={value}" for key, value in (sysctls or {}).items()]
    reasons = [comment(f"{cap.short}: {reason}") for cap, reason in snippet.caps]
    return "".join((snippet.comments(more=notes), *reasons, " ".join(words), "\n"))


def read(source: str, engine: str) -> tuple[Declared, ...]:
    """What the run and create commands of a script declare; a container without ``--name`` is
    called as the engine. Raises BadInput where there is none."""
    if len(source) > MAX_LENGTH:
        raise BadInput(f"{len(source)} characters are too many: the limit is {MAX_LENGTH}")
    found = []
    for number, command in _commands(source):
        try:
            words = shlex.split(command, comments=True)
        except ValueError as error:
            raise BadInput(f"line {number}: {error}") from error
        options = _options(words, engine)
        if options is not None:
            found.append(declared(options, engine, number))
    if not found:
        raise BadInput(f"line 1: no `{engine} run` and no flag is in it")
    return tuple(found)


def _commands(source: str) -> Iterator[tuple[int, str]]:
    """(line, command): a backslash at the end joins lines."""
    number, start = 0, 1
    parts: list[str] = []
    for number, line in enumerate(source.splitlines(), 1):
        start = start if parts else number
        continued = line.endswith("\\") and not line.lstrip().startswith("#")
        parts.append(line[:-1] if continued else line)
        if not continued:
            yield start, " ".join(parts)
            parts = []
    if parts:
        yield start, " ".join(parts)


def _options(words: list[str], engine: str) -> list[str] | None:
    """The words after ``run``, or all when they begin with a flag; None for another command."""
    if words and words[0].startswith("--"):
        return words
    for number, word in enumerate(words):
        if word.rpartition("/")[2] == engine:
            rest = words[number + 1 :]
            rest = rest[1:] if rest[:1] == ["container"] else rest
            if rest[:1] in (["run"], ["create"]):
                return rest[1:]
    return None


def declared(options: list[str], engine: str, number: int) -> Declared:
    """What the flags of one command say; what is not a flag of ours is passed by."""
    said: dict[str, list[str]] = {}
    for name, value in _pairs(options):
        said.setdefault(name, []).append(value)
    security = [option.replace("=", ":", 1) for option in said.get("--security-opt", ())]
    forbidden = [
        not option.endswith(":false")
        for option in security
        if option.partition(":")[0] == "no-new-privileges"
    ]
    users = said.get("--user", [])
    return Declared(
        service=said.get("--name", [engine])[-1],
        line=number,
        drop=_caps(said.get("--cap-drop", ())),
        add=_caps(said.get("--cap-add", ())),
        privileged=said.get("--privileged", ["false"])[-1] != "false",
        user=users[-1] if users else None,
        no_new_privileges=forbidden[-1] if forbidden else None,
    )


def _caps(values: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for value in values for name in value.split(","))


def _pairs(options: list[str]) -> Iterator[tuple[str, str]]:
    """(flag, value) up to the image, the first word that belongs to no flag."""
    words = iter(options)
    for word in words:
        if not word.startswith("-") or word == "--":
            return
        name, equals, value = word.partition("=")
        if not equals and word.startswith("-u") and len(word) > 2 and word[1] != "-":
            name, equals, value = "-u", "=", word[2:]
        is_cluster = not word.startswith("--") and all(f"-{c}" in _SWITCHES for c in word[1:])
        if not equals and (word in _SWITCHES or is_cluster):
            value = "true"
        elif not equals:
            value = next(words, "")
        yield ("--user" if name == "-u" else name), value
