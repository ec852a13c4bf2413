"""The kind of a file that a command cannot use, and the command to type instead. Only errors load
this."""

import os
import re
import shlex
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from capadvise.cli.parser import COMMANDS
from capadvise.config import languages, recognise
from capadvise.config.compose import COMPOSE
from capadvise.config.compose.files import FILES
from capadvise.config.kubernetes import KUBERNETES
from capadvise.config.language import Language
from capadvise.config.quadlet import QUADLET
from capadvise.config.systemd import SYSTEMD
from capadvise.kernel.sudo import as_root
from capadvise.model import workload
from capadvise.model.errors import BadInput
from capadvise.model.input_file import opened
from capadvise.targets.running.target import is_unit

REPORT, WORKLOAD, LOG, PROGRAM = "a report", "a workload file", "an audit log", "a program"
_MOST = 1 << 20
_LOG = re.compile(r"\bmsg=audit\(|\baudit: type=|\bavc: +denied|apparmor=\"DENIED\"")
_REPORT = re.compile(r'\s*\{\s*"schema":\s*"capadvise\.report/')


def wrong_file(args: Namespace) -> BadInput | None:
    """The error for the first file of another kind than its command takes, if there is one."""
    for name, kinds in COMMANDS[args.subcommand].get("takes", {}).items():
        given = getattr(args, name, None) or ()
        for path in (given,) if isinstance(given, str) else given:
            if error := wrong_kind(args.subcommand, path, kinds, _taker(args, name)):
                return error
    return None


def _taker(args: Namespace, argument: str) -> str:
    """``emit``, ``kubernetes prove``, ``check --against``."""
    if argument == "against":
        return f"{args.subcommand} --against"
    verb = getattr(args, "verb", None)
    return f"{args.subcommand} {verb}" if verb else str(args.subcommand)


def wrong_kind(
    command: str, path: str, taken: Sequence[str] = (), taker: str = ""
) -> BadInput | None:
    """The error for a file, if its kind is known and not taken. ``taken`` empty: files
    of languages are. ``taker``: what takes it, if it is not simply the command."""
    kind = kind_of(path)
    if kind is None or kind in taken or (not taken and isinstance(kind, Language)):
        return None
    title = kind.title if isinstance(kind, Language) else kind
    wanted = " or ".join(taken) or "configuration files"
    return BadInput(
        f"{path} is {title}; {taker or command} takes {wanted}", hint=_to_type(command, path, kind)
    )


def kind_of(path: str) -> str | Language | None:
    """One of the kinds above, or a language; None for a file of none, or that cannot be read."""
    if not os.path.isfile(path):
        return None
    try:
        with opened(path) as file:
            data = file.read(_MOST)
        if data.startswith((b"\x7fELF", b"#!")):
            return PROGRAM
        text = data.decode()
    except (BadInput, OSError, UnicodeDecodeError):
        return None
    if _REPORT.match(text):
        return REPORT
    if _LOG.search(text):
        return LOG
    with suppress(BadInput):
        workload.load(Path(path))
        return WORKLOAD
    with suppress(BadInput):
        language = recognise(path, text)
        # a workload file has a "kind", too, and perhaps a mistake
        if language is not KUBERNETES or "apiVersion" in text:
            return language if language in languages("read") else None
    return None


def _to_type(command: str, path: str, kind: str | Language) -> str:
    quoted = shlex.quote(path)
    if isinstance(kind, Language):
        return _for_language(command, path, kind)
    if kind == REPORT:
        over = f"capadvise check FILE --against {quoted}"
        return over if command == "check" else f"capadvise explain {quoted}"
    if kind == LOG:
        return f"capadvise import {quoted}"
    if kind == WORKLOAD:
        return f"{as_root()} prove {quoted}"
    whole = quoted if "/" in path else f"./{quoted}"
    return f"{as_root()} run --prove -- {whole}"


def _for_language(command: str, path: str, language: Language) -> str:
    quoted, name = shlex.quote(path), os.path.basename(path)
    if command == "emit" and language.can("edit"):
        return f"capadvise emit REPORT --format {language.name} --into {quoted}"
    if command == "prove" and language is COMPOSE:
        own = path in FILES
        return f"{as_root()} run --prove -- docker compose {'' if own else f'-f {quoted} '}up"
    if command == "prove" and language is KUBERNETES:
        return "kubectl capadvise record KIND/NAME …: capadvise help kubernetes"
    if command == "prove" and language is QUADLET and name.endswith(".container"):
        unit = f"{name.removesuffix('.container')}.service"
        return f"{as_root()} run --prove -- systemctl restart {shlex.quote(unit)}"
    if command == "prove" and language is SYSTEMD and is_unit(name):
        return f"{as_root()} run --prove -- systemctl restart {shlex.quote(name)}"
    return f"capadvise check {quoted}"
