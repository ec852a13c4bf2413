"""A command line that starts a unit: recognized, taken apart, and replaced by its service.

Sockets, timers and paths have no capabilities: the service that they start is recorded. Pure, but
``service_for`` and ``order_for`` ask the manager.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from capadvise.targets.systemd import manager
from capadvise.targets.systemd.refusals import refused

RECORDED = (".service",)
"""The kinds of units that have capabilities and can be recorded, by their endings."""
ACTIVATORS = (".socket", ".timer", ".path")
"""The kinds that start a service, which is recorded in their place."""
_OF_SEVERAL = {".target": "systemctl list-dependencies", ".slice": "systemctl status"}
"""The kinds that hold several services, and what lists these."""
_VERBS = ("start", "restart")
_STARTING = (*_VERBS, "try-restart", "condrestart", "reload-or-restart", "try-reload-or-restart")
_STARTING_MACHINES = frozenset(("start", "shell", "login"))
_WRAPPERS = ("sudo", "doas")
_HARMLESS = ("-q", "--quiet", "--no-ask-password", "--system", "--no-pager", "--")


@dataclass(frozen=True, slots=True)
class UnitOrder:
    """``systemctl start UNIT`` or ``systemctl restart UNIT``."""

    verb: str
    unit: str
    """With its ending: ``nginx.service``."""
    argv: tuple[str, ...]
    """The command line that the user typed."""


def recognize(argv: Sequence[str]) -> UnitOrder | None:
    """The unit that a command line starts, or None. Raises BadInput if it cannot be recorded."""
    words = list(argv)
    while words and PurePath(words[0]).name in _WRAPPERS:
        words.pop(0)
    program = PurePath(words[0]).name if words else ""
    _refuse_what_starts_otherwise(program, words)
    if program != "systemctl":
        return None
    names = [word for word in words[1:] if not word.startswith("-")]
    options = [word for word in words[1:] if word.startswith("-") and word not in _HARMLESS]
    verb = next((word for word in names[: 1 + len(options)] if word in _VERBS), None)
    if verb is None:
        _refuse_what_runs(names, options)
        return None
    if options:
        raise refused(_why_not(options), option=options[0], verb=verb)
    if len(names) != 2:
        raise refused("several")
    return UnitOrder(verb, unit_name(names[1]), tuple(argv))


def started(argv: Sequence[str]) -> tuple[str, ...]:
    """The system's units that a command line of systemctl starts, as they were typed."""
    names = [word for word in argv[1:] if not word.startswith("-")]
    if PurePath(argv[0]).name != "systemctl" or "--user" in argv:
        return ()
    verb, units = "".join(names[:1]), tuple(names[1:])
    now = "--now" in argv and verb in ("enable", "reenable")
    return units if now or verb in _STARTING else ()


def _why_not(options: Sequence[str]) -> str:
    return "--user" if "--user" in options else "option"


def _refuse_what_runs(names: Sequence[str], options: Sequence[str]) -> None:
    """Refuse ``systemctl stop``: a recording of a restart shows the needs of the stop, too."""
    verb, unit = "".join(names[:1]), "".join(names[1:2]) or "UNIT"
    if verb not in ("stop", "reload"):
        return
    if "--user" in options:
        raise refused("--user")
    raise refused(verb, unit=unit if verb == "stop" else unit_name(unit))


def _refuse_what_starts_otherwise(program: str, words: Sequence[str]) -> None:
    if program == "systemd-run" and "--scope" not in words:
        raise refused(program)
    if program == "machinectl" and not _STARTING_MACHINES.isdisjoint(words):
        raise refused(program)


def restart_of(unit: str) -> UnitOrder:
    """The command that a user would type to restart it."""
    return UnitOrder("restart", unit, ("systemctl", "restart", unit))


def unit_name(name: str) -> str:
    """systemctl's full name of a unit. Raises BadInput if it cannot be recorded."""
    if "/" in name or any(char.isspace() or char in "*?[" for char in name):
        raise refused("no name", name=name)
    ending = PurePath(name).suffix
    if name.removesuffix(ending).endswith("@") or name.endswith("@"):
        raise refused("template", name=name, before=name.partition("@")[0])
    if ending in (*RECORDED, *ACTIVATORS):
        return name
    if ending in _OF_SEVERAL:
        raise refused("group", name=name, lists=_OF_SEVERAL[ending])
    if ending == ".scope":
        raise refused("scope", name=name)
    if ending in (".mount", ".automount", ".swap", ".device"):
        raise refused("kind", name=name)
    return f"{name}.service"


PROPERTIES = ("LoadState", "ActiveState", "Triggers", "Accept")


def order_for(order: UnitOrder) -> UnitOrder:
    """The order for the service behind a unit. Raises BadInput if there is none."""
    service = service_for(order.unit)
    if service == order.unit:
        return order
    return UnitOrder(order.verb, service, ("systemctl", order.verb, service))


def service_for(name: str) -> str:
    """The service behind a unit; a service itself. Raises BadInput if there is none."""
    if PurePath(name).suffix not in ACTIVATORS:
        return name
    return service_of(name, manager.properties(name, PROPERTIES))


def service_of(name: str, properties: Mapping[str, str]) -> str:
    """The service that a unit with these properties starts. Pure."""
    loaded = properties.get("LoadState", "")
    if loaded == "not-found":
        raise refused("none", name=name)
    if loaded != "loaded":
        raise refused("not loaded", name=name, loaded=loaded)
    if properties.get("Accept") == "yes":
        raise refused("Accept=yes", name=name)
    services = [one for one in properties.get("Triggers", "").split() if one.endswith(".service")]
    if len(services) != 1:
        what = " and ".join(services) or "no service"
        raise refused("triggers", name=name, what=what)
    if name.endswith(".socket") and properties.get("ActiveState") != "active":
        state = properties.get("ActiveState")
        raise refused("socket", name=name, state=state, service=services[0])
    return services[0]
