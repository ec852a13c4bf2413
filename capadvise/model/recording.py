"""The observations of one run, as values, without any judgement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from capadvise.model.caps import Cap, CapSet, setcap_words


class Namespace(StrEnum):
    """The user namespace that the kernel checked against."""

    TARGET = "target"
    """The one of the target at its exec."""
    CHILD = "child"
    """Another one, made by the target or its user, who has all capabilities there."""
    HOST = "host"
    """The initial one, or another above the target's: no capability of the target counts there."""
    OTHER = "other"
    """Unknown; or one below the target's own that others made: what the target holds counts."""


class Phase(StrEnum):
    """The time of a check."""

    RUN = "run"
    HEALTHCHECK = "healthcheck"
    """The command that the engine runs inside a container to check its health made it."""
    RELOAD = "reload"
    """First seen after a reload of the target had begun."""
    STOP = "stop"
    """After the target's stop had begun."""
    STOP_COMMAND = "stop-command"
    """A command of a unit that stops it or cleans up made it: if it fails, the unit has failed."""


class Retried(StrEnum):
    """The evidence of EPERM retries."""

    SHOWN = "shown"
    """The call failed without, and had another result with exactly this capability."""
    ONE_OF = "one-of"
    """It failed with each candidate alone, and not with all of them."""
    REFUSED = "refused"
    """It failed with all of them, in a user namespace of ours: elsewhere one could help."""
    ASKED = "asked"
    """No refusal is visible from outside: the call's arguments tell."""
    PROBE = "probe"
    """The call only asks whether another one would be allowed."""


class CheckOption(StrEnum):
    """An option of the kernel's check. Evidence, never a verdict."""

    NOAUDIT = "noaudit"
    """A refusal is not audited."""
    INSETID = "insetid"
    """A call that sets ids made the check."""


class Origin(StrEnum):
    """The evidence for a check. Checks that the kernel did not make have no call site; rules of the
    catalog name their origin instead."""

    KERNEL = "kernel"
    """The kernel made the check, or a call was retried."""
    SECCOMP = "__seccomp_filter"
    """A seccomp filter answered before the kernel made the check."""
    HOLDER = "process:holds-capabilities"
    """A call was about a process that holds capabilities: the kernel checks callers that hold
    less."""
    COPIED = "copied:cap_capable"
    """The kernel made it in a copy of its function without a probe of ours."""
    AUDIT = "audit:module"
    """An audit record names the capability."""
    AUDIT_ERROR = "audit:error"
    """An audit record of a call that failed: only one capability can have been missing."""


@dataclass(frozen=True, slots=True)
class Check:
    """One capability check, made ``count`` times at the same call site."""

    id: int
    cap: Cap
    granted: bool
    ns: Namespace
    site: tuple[str, ...]
    """Kernel functions, innermost first."""
    program: str
    pid: int
    """One of the processes."""
    count: int
    first: float
    """Seconds since the target's exec."""
    syscall: str | None = None
    result: int | None = None
    """0 or a negative errno; None if the result was not recorded."""
    args: tuple[tuple[str, int], ...] = ()
    """Arguments of the call that can decide, by name."""
    detail: str | None = None
    """The object of the call, for people: a port, a signal, a mode."""
    uid: int | None = None
    phase: Phase = Phase.RUN
    retried: Retried | None = None
    """None: the kernel made the check. Otherwise it has no call site."""
    without: str | None = None
    """The error of a retried call without the capability; None if it failed silently."""
    together: tuple[Cap, ...] = ()
    """Other capabilities that a retried call needed, or that could have helped."""
    options: tuple[CheckOption, ...] | None = None
    """None if the observer does not tell."""
    origin: Origin = Origin.KERNEL

    @property
    def place(self) -> tuple[str, ...]:
        """The place that the rules of the catalog match: the call site, or its substitute."""
        if self.origin is Origin.KERNEL:
            return self.site
        return (self.origin, self.syscall) if self.syscall else (self.origin,)

    @property
    def call(self) -> str:
        """Its system call, for people."""
        fault = any("page_fault" in function for function in self.site)
        return self.syscall or ("page fault" if fault else "call of unknown name")


@dataclass(frozen=True, slots=True)
class Tally:
    """The count of one capability while a recording goes on."""

    count: int
    last: Check
    """The latest one."""


class RefusedBy(StrEnum):
    """The mechanism that refused a call."""

    CAPABILITY = "capability"
    """The process lacks the capability that the kernel checked."""
    SECCOMP = "seccomp"
    MAC = "mac"
    """AppArmor, SELinux or another security module."""
    MODE = "mode"
    """Owner and mode of a file."""
    MOUNT = "mount"
    """Mounted read-only, or without the required option."""
    NAMESPACE = "namespace"
    """Checked in a user namespace that the process does not own."""
    LIMIT = "limit"
    UNKNOWN = "unknown"


UNKNOWN_CALL = "?"
"""A system call whose end was not recorded, so that only its refusal was seen."""


@dataclass(frozen=True, slots=True)
class DeniedCheck:
    """A check of a refused call that was refused."""

    cap: Cap
    site: tuple[str, ...]
    ns: Namespace


@dataclass(frozen=True, slots=True)
class Told:
    """The refusing mechanism according to another source: an audit log, the retries, an older
    report."""

    by: RefusedBy
    evidence: str


@dataclass(frozen=True, slots=True)
class RefusedCall:
    """A system call that was refused ``count`` times, as it was seen; ``judgement.refusals`` judges
    it."""

    syscall: str
    errno: str
    """Its name; ``SIGSYS`` if the process got that signal instead."""
    program: str
    count: int
    uid: int | None = None
    entered: bool | None = None
    """It reached the call's own code; None if that was not recorded."""
    denied: tuple[DeniedCheck, ...] = ()
    own_namespace: bool = False
    """The process had entered a user namespace that the target made itself."""
    told: Told | None = None

    def counted(self, count: int) -> RefusedCall:
        """The same call with another count."""
        return replace(self, count=count)


@dataclass(frozen=True, slots=True)
class AuditDenial:
    """A refusal that the kernel's audit reported while the target ran, ``count`` times."""

    syscall: str
    errno: str
    program: str
    by: RefusedBy
    evidence: str
    of_a_call: bool
    """There was a record of the system call."""
    count: int


@dataclass(frozen=True, slots=True)
class Host:
    """The machine, as far as it affects what can be seen."""

    kernel: str
    arch: str
    last_cap: int
    observer: str
    lsm: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """The capabilities that the target could have had: its sets at its exec."""

    bounding: CapSet
    permitted: CapSet
    ambient: CapSet


@dataclass(frozen=True, slots=True)
class Lost:
    """Events that the kernel could not keep."""

    signal: int = 0
    """Checks of the 40 quiet capabilities, and the results of calls."""
    sys_admin: int = 0
    """Checks of CAP_SYS_ADMIN, which come in floods."""
    lookups: int = 0
    """Lookups in /proc, and arguments of programs: they show which programs read a chosen
    process."""
    gaps: tuple[str, ...] = ()
    """Reasons why any check may not be in the trace, in words: others wrote to its files, or a
    check that was made on purpose did not arrive."""

    @property
    def total(self) -> int:
        """All that were counted."""
        return self.signal + self.sys_admin + self.lookups


class FileChange(StrEnum):
    """A change of a file of an image."""

    OWNER = "owner"
    MODE = "mode"
    FOLDER = "folder"
    """Another user than its owner has put something into it."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file of a container's image that was changed while it ran."""

    path: str
    layer: int
    """The image's layer, from 1 at the bottom."""
    change: FileChange
    owner: str
    """``uid:gid`` in the image."""
    became: str
    """The new owner or mode, or the owner of what was put into the folder."""


@dataclass(frozen=True, slots=True)
class ForeignFolder:
    """A folder of the host in a container whose user may not write to it."""

    path: str
    """Its path in the container."""
    source: str
    """Its path on the host."""
    owner: str
    """``uid:gid``."""
    user: str
    """``uid:gid`` of the container's first process."""


@dataclass(frozen=True, slots=True)
class CapableFile:
    """A program file with file capabilities and their effective bit. Its exec fails with EPERM
    unless the bounding set has all of them; the kernel makes no capability check for that."""

    path: str
    """In the target's mount namespace."""
    caps: CapSet
    refused_to: str | None = None
    """The program whose exec of it failed so; None: it ran."""

    @property
    def words(self) -> str:
        """``/usr/bin/caddy has file capabilities cap_net_bind_service=ep``."""
        return f"{self.path} has file capabilities {setcap_words(self.caps)}"


@dataclass(frozen=True, slots=True)
class Difference:
    """The effects that were lost in a second run."""

    cap: Cap | None
    """The capability that it lacked; None: all that were in doubt."""
    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SecondRun:
    """The comparison of two more runs, both isolated: one with every capability, and one without
    those that were in doubt after the first run. If they differed, others followed."""

    settled: bool
    """It is known which of the capabilities in doubt made the difference, if there was one."""
    refused: CapSet
    """The capabilities in doubt that the run with every capability used again."""
    needed: CapSet = frozenset()
    """Those of them without which something differed."""
    own_sets: bool = False
    """The programs that read their own sets did so again, and that made no difference."""
    differed: tuple[Difference, ...] = ()
    compared: tuple[str, ...] = ()
    """The traces that were compared: ``stdout``."""

    def settles(self, cap: Cap) -> bool:
        """True if it shows whether this capability is needed."""
        return self.settled and cap in self.refused

    def rules_out(self, cap: Cap) -> bool:
        """True if it shows that this capability is not needed."""
        return self.settles(cap) and cap not in self.needed

    def lost(self, cap: Cap) -> tuple[str, ...]:
        """The losses without this capability alone, or else without all."""
        each = {one.cap: one.lost for one in self.differed}
        return each.get(cap) or each.get(None) or ()


@dataclass(frozen=True, slots=True)
class Recording:
    """One run."""

    host: Host
    held: Held
    started: str
    """RFC 3339."""
    seconds: float
    exit_status: int | None
    """128+n for signal n; None while the target runs, or if it never ended."""
    checks: tuple[Check, ...]
    refused_calls: tuple[RefusedCall, ...] = ()
    audit: tuple[AuditDenial, ...] = ()
    lost: Lost = Lost()
    interrupted: bool = False
    succeeded: bool | None = None
    """It ended well: its check passed, or without a check it exited with 0. None: unknown."""
    image_files: tuple[ImageFile, ...] = ()
    """Files of the image that were changed, the first ones."""
    foreign_folders: tuple[ForeignFolder, ...] = ()
    attached: bool = False
    """The target ran before it was watched, and may run on."""
    restarted: bool = False
    """A unit that was running and then restarted: its start was observed after all."""
    io_uring: bool = False
    setid_exec: bool | None = False
    """It executed a file with set-id bits or capabilities; None: some were gone too soon."""
    proc_scanners: frozenset[str] | None = None
    """Programs that listed all processes below /proc; None if that was not recorded."""
    proc_seekers: frozenset[str] | None = None
    """Those of them that looked into few of the processes; None if that was not recorded."""
    proc_state_seekers: frozenset[str] | None = None
    """Those of them that read the state (/proc/PID/stat) of few."""
    access_time_keepers: frozenset[str] = frozenset()
    """Programs whose options say to keep the access times of files."""
    isolators: frozenset[str] = frozenset()
    """Programs that executed another one in new namespaces that they made for it with clone(2)."""
    imports: frozenset[tuple[str, str]] = frozenset()
    """(program, function of a library) for the few functions that are evidence."""
    fixed_capsets: tuple[tuple[str, CapSet], ...] = ()
    """(program, kept set) of each program that called capset without a look at what it had."""
    capable_files: tuple[CapableFile, ...] = ()
    """The program files that it could not execute without some capability."""
    still_running: frozenset[str] = frozenset()
    """The names of its processes when its stop began; empty if it had ended by itself."""
    serving: bool = False
    """It listened at a port or a local socket, or waited for events without a time limit, when its
    stop began."""
    own_set_readers: tuple[tuple[str, CapSet], ...] = ()
    """(program, capabilities) for programs that looked if they hold these, and did not change their
    sets; none: they read the whole sets."""
    cautions: tuple[str, ...] = ()
    """The limits of the observers, one sentence each."""
    started_containers: bool = False
    """The command had an engine or systemd start something, which was not recorded."""
    start: int = 1
    """The number of the start in a lifecycle: later ones begin with the data of the first."""
    pod: str | None = None
    """Its name, if a workload of a cluster was recorded."""
    program: str = ""
    """The last program that its first process executed; empty if that was not seen."""
    second_run: SecondRun | None = None
    """None: it was not run again."""
