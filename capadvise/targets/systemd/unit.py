"""The output of ``systemctl show`` for a unit, taken apart. Pure."""

import re
from dataclasses import dataclass

from capadvise.model.caps import NAMES, Cap, CapSet
from capadvise.model.recording import Phase
from capadvise.model.target import short_unit

_PHASES = {
    "ExecCondition": Phase.RUN,
    "ExecStartPre": Phase.RUN,
    "ExecStart": Phase.RUN,
    "ExecStartPost": Phase.RUN,
    "ExecReload": Phase.RELOAD,
    "ExecStop": Phase.STOP_COMMAND,
    "ExecStopPost": Phase.STOP_COMMAND,
}
"""Settings with commands, in the order in which they are executed."""
PROPERTIES = (
    *("Id", "LoadState", "ActiveState", "SubState", "Type", "User", "DynamicUser", "ControlGroup"),
    *("ExecMainCode", "ExecMainStatus", "MainPID", "TriggeredBy"),
    *("RefuseManualStart", "PrivateDevices", "ProtectKernelModules", "ProtectKernelLogs"),
    *("ProtectClock", "CapabilityBoundingSet", "AmbientCapabilities"),
    *("RootDirectory", "RootImage"),
)
COMMANDS = tuple(f"{key}Ex" for key in _PHASES)
_BETWEEN_COMMANDS = re.compile(r"(?<= \})\n(?=Exec\w+Ex=\{ path=)")
_COMMAND = re.compile(
    r"(?P<setting>\w+)Ex=\{ path=(?P<path>.*?) ; argv\[\]=(?P<words>.*) ;"
    r" flags=(?P<flags>[a-z -]*) ; start_time=",
    re.DOTALL,
)
_KILLED = ("2", "3")
"""``ExecMainCode``: CLD_KILLED and CLD_DUMPED."""
_ROOT = ("", "root", "0")


def runs(active: str) -> bool:
    """True if a unit in this ``ActiveState`` is up, or on its way."""
    return active not in ("inactive", "failed")


@dataclass(frozen=True, slots=True)
class UnitCommand:
    """A line such as ``ExecStart=``."""

    setting: str
    path: str
    """A program's path, or a name that is searched for."""
    privileged: bool
    """``+``: it has every capability, whatever the set of the unit is."""
    words: str = ""
    """Its command line, without quotes: systemctl shows none."""

    @property
    def phase(self) -> Phase:
        """The phase of the unit's life in which it is executed."""
        return _PHASES[self.setting]

    def starts(self, path: str) -> bool:
        """True if this command executes a program."""
        return path == self.path or ("/" not in self.path and path.endswith(f"/{self.path}"))


@dataclass(frozen=True, slots=True)
class ServiceUnit:
    """A unit as its manager knows it at some moment."""

    name: str
    """``nginx.service``."""
    loaded: str
    active: str
    """``active``, ``activating``, ``inactive``, ``failed`` …"""
    sub: str
    kind: str
    """Its ``Type``."""
    user: str
    """Empty: root."""
    cgroup: str
    """Empty while nothing of it runs."""
    status: int | None
    """The exit status of its main process, as in ``subprocess``; None if it has not ended."""
    main: int
    """The pid of its main process, as the manager counts; 0: none."""
    commands: tuple[UnitCommand, ...]
    """In the order in which they are executed."""
    activators: tuple[str, ...]
    """Units that start it: sockets, timers, paths."""
    settings: frozenset[str]
    """Those of ``file.WITHHELD`` that are on."""
    manual: bool
    """True if a user may start it."""
    own_root: bool = False
    """True if its commands do not have the manager's root directory."""
    granted: CapSet = frozenset()
    """The set that its commands start with: for root the bounding set, else the ambient one."""

    @property
    def runs(self) -> bool:
        """True if it is up, or on its way."""
        return runs(self.active)

    @property
    def oneshot(self) -> bool:
        """True if it does nothing but start."""
        return self.kind == "oneshot"

    @property
    def is_root(self) -> bool:
        """True if its commands start with uid 0."""
        return self.user in _ROOT

    @property
    def short_name(self) -> str:
        """Without its ending."""
        return short_unit(self.name)


def parse_unit(text: str) -> ServiceUnit:
    """One unit of the output."""
    fields: dict[str, list[str]] = {}
    for line in text.split("\n"):
        key, separator, value = line.partition("=")
        if separator:
            fields.setdefault(key, []).append(value)

    def last(key: str) -> str:
        return fields.get(key, [""])[-1]

    user = last("User") or ("dynamic" if last("DynamicUser") == "yes" else "")
    of_root = user in _ROOT
    return ServiceUnit(
        name=last("Id"),
        loaded=last("LoadState"),
        active=last("ActiveState"),
        sub=last("SubState"),
        kind=last("Type"),
        user=user,
        cgroup=last("ControlGroup"),
        status=_status(last("ExecMainCode"), last("ExecMainStatus")),
        main=int(pid) if (pid := last("MainPID")).isdecimal() else 0,
        commands=(),
        activators=tuple(last("TriggeredBy").split()),
        settings=frozenset(key for key in fields if last(key) == "yes"),
        manual=last("RefuseManualStart") != "yes",
        own_root=bool(last("RootDirectory") or last("RootImage")),
        granted=_caps(last("CapabilityBoundingSet" if of_root else "AmbientCapabilities")),
    )


def _caps(names: str) -> CapSet:
    """A set as systemctl prints it. A newer systemd can know names that we do not."""
    return frozenset(
        Cap.parse(name) for name in names.upper().split() if name.removeprefix("CAP_") in NAMES
    )


def parse_commands(text: str) -> tuple[UnitCommand, ...]:
    """The commands of the output, which may go over several lines."""
    lines = filter(None, map(_COMMAND.search, _BETWEEN_COMMANDS.split(text)))
    commands = [
        UnitCommand(
            *(one["setting"], one["path"], "privileged" in one["flags"].split()), one["words"]
        )
        for one in lines
        if one["setting"] in _PHASES
    ]
    return tuple(sorted(commands, key=lambda one: list(_PHASES).index(one.setting)))


def _status(code: str, status: str) -> int | None:
    if not code.isdecimal() or not status.isdecimal() or code == "0":
        return None
    return -int(status) if code in _KILLED else int(status)
