"""Describes how each program behaved in a whole recording, which decides about its single checks.
Pure."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from capadvise.catalog.signs import ImportSign, Sign, Signs
from capadvise.model.caps import Cap, CapSet
from capadvise.model.recording import Check, Lost, Origin, Recording, Retried

_DAC_READ_SEARCH = Cap.parse("DAC_READ_SEARCH")
_FILES = frozenset({_DAC_READ_SEARCH, Cap.parse("DAC_OVERRIDE")})

_SYS_PTRACE = Cap.parse("SYS_PTRACE")
_CHOWN = Cap.parse("CHOWN")
_SETUID = Cap.parse("SETUID")
_SET_IDS = ("setuid", "setreuid", "setresuid")
REFUSALS = (-errno.EPERM, -errno.EACCES)
_ROOT_OR_SAME = frozenset({0, 0xFFFFFFFF})


@dataclass(frozen=True, slots=True)
class ProcReaders:
    """Programs by how they read what /proc shows of other processes and of the machine."""

    setting_listers: frozenset[str]
    """Programs that went through the settings below /proc/sys, as sysctl -a does."""
    listers: frozenset[str]
    """Programs that went through the processes of others, as ps and usermod do."""
    socket_listers: frozenset[str]
    """Programs that list the sockets of the machine, as ss does."""
    seekers: frozenset[str]
    """Programs whose job is to look into processes. They read the descriptors of other users'
    processes or of processes with capabilities, as lsof and fuser do, and not only to name the
    owners of sockets that they list. Or they read nothing but the namespaces of the processes that
    they list: that is the job of ``ip netns pids``, while pstree also shows their state and userdel
    follows their root."""
    descriptor_refused: frozenset[str]
    """Programs that were refused DAC_READ_SEARCH there, so that the kernel checked DAC_OVERRIDE
    next."""
    map_readers: frozenset[str]
    """Programs that read the memory maps of few processes."""
    memory_opens: dict[str, int]
    """The number of times that a program opened environ, maps, io or a similar file of a
    process."""
    few_lookers: frozenset[str]
    """Listers that looked into few of the processes that they saw: they may have searched for
    these."""
    state_seekers: frozenset[str]
    """Listers that read the state of few."""
    private_readers: frozenset[str]
    """Programs that opened files of a process that only its user can open: SYS_PTRACE let them."""
    debuggers: frozenset[str]
    """Programs that traced another process, and opened its memory as a file."""

    @classmethod
    def of(cls, recording: Recording, signs: Signs) -> ProcReaders:
        """Find the readers among the programs of a recording."""
        checks = recording.checks
        granted = [check for check in checks if check.granted]
        sockets = _programs(checks, Sign.SOCKET_LIST, signs)
        listers = _listers(recording, signs) | sockets
        follows_namespaces = _many(checks, Sign.PROCESS_NAMESPACES, signs, signs.many_links)
        namespace_seekers = (listers & follows_namespaces) - _showers_of_more(checks, signs)
        return cls(
            setting_listers=_many(checks, Sign.SETTINGS, signs, signs.many_settings),
            listers=listers,
            socket_listers=sockets,
            seekers=(_descriptor_readers(granted, signs) - sockets) | namespace_seekers,
            descriptor_refused=_programs(
                (check for check in _of(checks, _DAC_READ_SEARCH) if not check.granted),
                *(Sign.PROCESS_DESCRIPTORS, signs),
            ),
            map_readers=_map_readers(recording, signs),
            memory_opens=_times(granted, Sign.PROCESS_PRIVATE_FILES, signs),
            few_lookers=_few_lookers(recording, listers, signs),
            state_seekers=recording.proc_state_seekers or frozenset(),
            private_readers=_programs(_of(granted, _SYS_PTRACE), Sign.PROCESS_PRIVATE_FILES, signs),
            debuggers=_programs(granted, Sign.TRACING, signs)
            & _programs(granted, Sign.PROCESS_MEMORY, signs),
        )


@dataclass(frozen=True, slots=True)
class Context:
    """The facts of the whole recording that matter for each check."""

    signs: Signs
    permitted: CapSet
    """Capabilities that the target could have had."""
    succeeded: bool
    """The run ended well."""
    failed: bool
    """The run failed by itself."""
    own_mounts: bool
    """The target mounted an overlay itself: then the mounter's credentials are its own."""
    proc: ProcReaders
    terminal_givers: frozenset[str]
    """Programs that gave a terminal to a user."""
    user_changers: frozenset[str]
    """Programs that were root and became another user for good, as daemons do."""
    access_time_keepers: frozenset[str]
    """Programs whose options say to leave access times alone."""
    isolators: frozenset[str]
    """Programs that executed others in new namespaces."""
    imports: frozenset[tuple[str, str]]
    """(program, function) for functions that the catalog knows as signs."""
    calls: frozenset[tuple[str, str | None]]
    """The system calls in which each program caused a check."""
    foreign_readers: frozenset[str]
    """Programs that were let into files that their user may not read."""
    idle_calls: frozenset[tuple[str, str | None, Cap]]
    """(program, call, capability) if retries showed that no such call changed anything."""
    given_up: frozenset[tuple[str, str | None, int | None]]
    """(program, call, result) of calls that failed in every try, with all that the target held."""
    still_running: frozenset[str]
    """The names of processes that ran until the target's stop began."""
    if_nobody_lists: Context | None = None
    """The other possible context, if lookups in /proc were dropped: a program that went through all
    processes may have been given one of them."""

    @classmethod
    def of(cls, recording: Recording, signs: Signs) -> Context:
        """Collect the context of a recording."""
        checks = recording.checks
        granted = [check for check in checks if check.granted]
        context = cls(
            signs=signs,
            permitted=recording.held.permitted,
            succeeded=recording.succeeded is True,
            failed=recording.succeeded is False and not recording.interrupted,
            own_mounts=mounts_overlays(recording, signs),
            proc=ProcReaders.of(recording, signs),
            terminal_givers=_programs(_of(granted, _CHOWN), Sign.TERMINAL_OWNER, signs),
            user_changers=_user_changers(granted),
            access_time_keepers=recording.access_time_keepers,
            isolators=recording.isolators,
            imports=recording.imports,
            calls=frozenset((check.program, check.syscall) for check in checks),
            foreign_readers=_programs(_of(granted, *_FILES), Sign.FILE_OPEN, signs),
            idle_calls=_idle_calls(checks),
            given_up=_given_up(recording),
            still_running=recording.still_running,
        )
        if not recording.lost.lookups or recording.proc_scanners is None:
            return context
        nobody = replace(recording, proc_scanners=frozenset(), lost=Lost())
        other = replace(context, proc=ProcReaders.of(nobody, signs))
        return replace(context, if_nobody_lists=other)

    def importers(self, symbols: ImportSign) -> frozenset[str]:
        """Programs that import one of these functions."""
        names = self.signs.symbols[symbols]
        return frozenset(program for program, name in self.imports if name in names)


def _given_up(recording: Recording) -> frozenset[tuple[str, str | None, int | None]]:
    """The last try of a call is the one that succeeds. A program that fails in every try did not
    need what the tries granted, unless the target lacked another capability."""
    if "retry" not in recording.host.observer:
        return frozenset()
    refused = [check for check in recording.checks if check.result in REFUSALS]
    lacking = {
        (check.program, check.syscall, check.result)
        for check in refused
        if not check.granted and check.cap not in recording.held.permitted
    }
    return frozenset((check.program, check.syscall, check.result) for check in refused) - lacking


def _user_changers(granted: Iterable[Check]) -> frozenset[str]:
    """The real id must change, too: a program that keeps it can come back."""
    programs = set()
    for check in granted:
        if check.cap == _SETUID and check.syscall in _SET_IDS:
            args = dict(check.args)
            real = args.get("ruid", args.get("uid", 0))
            if _ROOT_OR_SAME.isdisjoint((real, args.get("euid", real))):
                programs.add(check.program)
    return frozenset(programs)


def is_idle(check: Check) -> bool:
    """True if retries showed that the call changes nothing, such as a chown to the owner that the
    file already has."""
    return check.retried is Retried.SHOWN and dict(check.args).get("changes") == 0


def _idle_calls(checks: Iterable[Check]) -> frozenset[tuple[str, str | None, Cap]]:
    idle: dict[tuple[str, str | None, Cap], bool] = {}
    for check in checks:
        if check.retried is Retried.SHOWN:
            call = check.program, check.syscall, check.cap
            idle[call] = idle.get(call, True) and is_idle(check)
    return frozenset(call for call, all_of_them in idle.items() if all_of_them)


def mounts_overlays(recording: Recording, signs: Signs) -> bool:
    """True if the target mounted an overlay file system itself."""
    return any(signs.shows(Sign.OVERLAY_MOUNT, check.site) for check in recording.checks)


def _times(checks: Iterable[Check], sign: Sign, signs: Signs) -> Counter[str]:
    times: Counter[str] = Counter()
    for check in checks:
        if signs.shows(sign, check.site):
            times[check.program] += check.count
    return times


def _few_lookers(recording: Recording, listers: frozenset[str], signs: Signs) -> frozenset[str]:
    """If the recording does not tell, these are the listers that follow no links of very many."""
    if recording.proc_seekers is not None and _knows_scanners(recording):
        return recording.proc_seekers
    return listers - _many(recording.checks, Sign.PROCESS_LINKS, signs, signs.many_links)


def _of(checks: Iterable[Check], *caps: Cap) -> list[Check]:
    return [check for check in checks if check.cap in caps]


def _programs(checks: Iterable[Check], sign: Sign, signs: Signs) -> frozenset[str]:
    return frozenset(_times(checks, sign, signs))


def _many(checks: Sequence[Check], sign: Sign, signs: Signs, least: int) -> frozenset[str]:
    times = _times(checks, sign, signs)
    return frozenset(program for program, count in times.items() if count >= least)


def _listers(recording: Recording, signs: Signs) -> frozenset[str]:
    """Programs that list all processes. If the recording does not tell, these are also programs
    that read the state of processes (ps, top), and programs that follow the links of very many
    (usermod and start-stop-daemon look for processes that are in their way, or run already)."""
    if _knows_scanners(recording):
        return recording.proc_scanners or frozenset()
    checks = recording.checks
    many = _many(checks, Sign.PROCESS_LINKS, signs, signs.many_links)
    readers = _times(checks, Sign.PROCESS_STATE, signs).keys()
    return frozenset(many | readers | (recording.proc_scanners or frozenset()))


def _knows_scanners(recording: Recording) -> bool:
    return recording.proc_scanners is not None and not recording.lost.lookups


def _showers_of_more(checks: Sequence[Check], signs: Signs) -> frozenset[str]:
    """Programs that read more about processes than their namespaces: their state, or other
    links."""
    namespaces = _times(checks, Sign.PROCESS_NAMESPACES, signs)
    links = _times(checks, Sign.PROCESS_LINKS, signs)
    others = {program for program, count in links.items() if count > namespaces[program]}
    return frozenset(others | _times(checks, Sign.PROCESS_STATE, signs).keys())


def _descriptor_readers(granted: Sequence[Check], signs: Signs) -> frozenset[str]:
    """The kernel lets a user into the user's own processes without a check, unless they hold
    capabilities."""
    holders = {
        check.program
        for check in granted
        if check.origin is Origin.HOLDER and dict(check.args).get("descriptor")
    }
    return _programs(granted, Sign.PROCESS_DESCRIPTORS, signs) | holders


def _map_readers(recording: Recording, signs: Signs) -> frozenset[str]:
    """Programs that read the memory maps of processes and do not list all of them, or list all of
    them to read the maps (smem, memstat). The latter read no state, unlike ps, and follow at most
    one link of each process, while fuser follows exe, root and cwd.

    If the recording does not tell, a program that reads maps may read the state of a few processes
    at most: pmap reads the state of the one that it is given, and a program that goes through all
    of them reads many more.
    """
    checks = recording.checks
    states = _times(checks, Sign.PROCESS_STATE, signs)
    readers = _times(checks, Sign.PROCESS_MAPS, signs)
    known = readers.keys() - (recording.proc_scanners or frozenset())
    if _knows_scanners(recording):
        links = _times(checks, Sign.PROCESS_LINKS, signs)
        seekers = {program for program, count in readers.items() if links[program] <= count}
        return frozenset(known | seekers - states.keys())
    return frozenset(program for program in known if states[program] <= signs.few_states)
