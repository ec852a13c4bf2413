"""Checks whose meaning depends on what else the program does in the run: whether one is incidental
to something else, and whether the program does without what it was refused. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

from capadvise.catalog.signs import ImportSign, Sign
from capadvise.judgement.behaviour import Context
from capadvise.model import clone_flags
from capadvise.model.caps import Cap
from capadvise.model.recording import Check

_DAC_OVERRIDE = Cap.parse("DAC_OVERRIDE")
_DAC_READ_SEARCH = Cap.parse("DAC_READ_SEARCH")
_FOWNER = Cap.parse("FOWNER")
_KILL = Cap.parse("KILL")
_SYS_NICE = Cap.parse("SYS_NICE")
_PERFMON = Cap.parse("PERFMON")
_AUDIT_CONTROL = Cap.parse("AUDIT_CONTROL")
EXECUTES = ("execve", "execveat")
_BLKFLSBUF = 0x1261
"""linux/fs.h"""
_COMM = 15
"""So much of a program's name is that of its process: TASK_COMM_LEN of linux/sched.h."""
_SETS_UP_NETWORKS = ("ioctl", "sendto", "sendmsg")


class IncidentalUse(NamedTuple):
    """What a program does by the way."""

    why: str
    lost: str | None = None


def incidental_use(check: Check, context: Context) -> IncidentalUse | None:
    """What a check is about that does not decide whether the program does its job."""
    if _continues_within_a_session(check):
        return IncidentalUse("continuing a process of its own session")
    if _would_make_a_descriptor(check, context):
        return IncidentalUse(
            "opening a file in /proc/PID/fd that may be made, where none can be made"
        )
    if _looks_up_owners(check, context):
        return IncidentalUse("looking up the owners of the sockets that it lists")
    if _is_a_lister_reading_processes(check, context):
        return IncidentalUse("reading /proc files of the processes that it lists")
    if _is_a_debugger_reading_processes(check, context):
        return IncidentalUse(
            "opening files of the process that it traces",
            "reading and writing its memory through /proc: ptrace(2) does it word by word",
        )
    return None


def _continues_within_a_session(check: Check) -> bool:
    """A shell's ``fg``: SIGCONT may go to every process of the sender's session, whoever runs it;
    KILL is asked for before that is looked at (check_kill_permission() of kernel/signal.c)."""
    return check.cap == _KILL and dict(check.args).get("same_session") == 1


def _would_make_a_descriptor(check: Check, context: Context) -> bool:
    """open(2) of /proc/self/fd/2 (/dev/stderr) with O_CREAT, as shells and daemons do: the kernel
    asks whether the folder may be written to, and takes no notice where the file is there
    (lookup_open() of fs/namei.c). Reading asks for DAC_READ_SEARCH first (generic_permission()), so
    where that was not refused, it was about writing, and procfs makes no file for anybody."""
    return (
        check.cap == _DAC_OVERRIDE
        and check.granted
        and check.program not in context.proc.descriptor_refused
        and context.signs.shows(Sign.PROCESS_DESCRIPTORS, check.site)
        and not context.signs.shows(Sign.ACCESS_QUESTION, check.site)
    )


def _looks_up_owners(check: Check, context: Context) -> bool:
    """ss looks into descriptors to tell whose the sockets are that it lists."""
    return check.program in context.proc.socket_listers and context.signs.shows(
        Sign.PROCESS_DESCRIPTORS, check.site
    )


def likely_optional(check: Check, context: Context) -> str | None:
    """Why a program would have gone on without; None where nothing speaks for it."""
    return _flushes_a_device(check) or _isolates_children(check, context)


def _flushes_a_device(check: Check) -> str | None:
    """mkfs.xfs, parted and photorec flush the disk that they work on, and ignore a refusal. For
    ``blockdev --flushbufs`` it is the job, which nothing else in the run tells."""
    if check.syscall != "ioctl" or dict(check.args).get("cmd") != _BLKFLSBUF:
        return None
    return (
        "likely optional: programs usually go on where they cannot flush a block device; "
        "capadvise prove tells"
    )


def _isolates_children(check: Check, context: Context) -> str | None:
    """Who makes containers gives them a view of files of their own, too. Who forks children into
    other new namespaces alone, sets nothing up there and executes nothing, isolates its own workers
    where it can (vsftpd): their work is the same without. Who executes another program there is
    there to isolate it (chrome-sandbox), and ends where it cannot."""
    flags = dict(check.args).get("flags")
    if check.syscall != "clone" or flags is None or flags & clone_flags.CLONE_NEWNS:
        return None
    if not context.signs.shows(Sign.CLONED_NAMESPACES, check.site):
        return None
    if check.program in context.isolators:
        return None
    if flags & clone_flags.CLONE_NEWNET and any(
        (check.program, call) in context.calls for call in _SETS_UP_NETWORKS
    ):
        return None
    return (
        "likely optional: it only isolates children, and programs usually fork without new "
        "namespaces where those are refused; capadvise prove tells"
    )


def did_without(check: Check, context: Context) -> bool:
    """Whether a refusal was a trial: the run ended well, or the program served with less memory or
    a lower limit than it had asked for. Not with another priority: somebody had asked for that
    (nginx's worker_priority)."""
    return context.succeeded or (
        check.syscall in context.signs.about_itself
        and check.cap != _SYS_NICE
        and check.program[:_COMM] in context.still_running
    )


def cannot_do_without(check: Check, context: Context) -> str | None:
    """Why this program needs what others do without: it has executed a program there, where others
    only pass by on PATH; it was told to leave access times alone (tar, rsync), while others try
    again without O_NOATIME; or it asks ahead; or it sends audit messages by itself (others let PAM
    do it), and it configures audit, or gives a user a terminal, as sshd does, which ends the
    login that it cannot log."""
    executed = check.granted and check.result == 0 and check.syscall in EXECUTES
    if executed and context.signs.shows(Sign.PERMISSION, check.site):
        return "the program was executed there; another one of its name may be on PATH"
    if context.signs.shows(Sign.ACCESS_QUESTION, check.site):
        return _asks_ahead(check, context)
    if check.cap == _FOWNER and context.signs.shows(Sign.FILE_OPEN, check.site):
        told = check.program in context.access_time_keepers
        return "its options say to leave access times alone" if told else None
    if not context.signs.shows(Sign.AUDIT_MESSAGE, check.site):
        return None
    if check.program not in context.importers(ImportSign.AUDIT_MESSAGE):
        return None
    if check.program in context.importers(ImportSign.AUDIT_CONTROL):
        return "its messages can be all that it is for"
    if check.program in context.terminal_givers:
        return "some programs end a login that they cannot log, others go on"
    return None


def _asks_ahead(check: Check, context: Context) -> str | None:
    """Daemons ask with access(2) about their folders before they become another user, and some end
    at a no (yadifad); others, as bwrap and fusermount, only ask what to do."""
    if not check.granted or check.program not in context.user_changers:
        return None
    return "some programs end where access(2) says no, others go on"


def looks_for(check: Check, context: Context) -> tuple[Cap, str] | None:
    """A capability that a program looks for in its own sets, to end where it is not there."""
    if not context.signs.shows(Sign.AUDIT_MESSAGE, check.site):
        return None
    if check.program not in context.importers(ImportSign.AUDIT_CONTROL):
        return None
    return _AUDIT_CONTROL, "looking for it in its own sets (audit_can_control() of libaudit)"


def looks_at_chosen(check: Check, context: Context) -> bool:
    """Whether the program looks into chosen processes, so that a refusal defeats it, or goes
    through all of them (ps, top) and shows less. lsof and fuser go through all, too, but for the
    sake of the descriptors: those that were let in there need to follow the links as well."""
    if context.signs.shows(Sign.RESTRICTED_SETTINGS, check.site):
        return check.program not in context.proc.setting_listers
    if check.cap == _PERFMON and check.program not in context.foreign_readers:
        return False  # Linux 6.18 asks it too, of the caller's own processes as well: mm_access
    if check.program in context.proc.seekers and check.cap != _PERFMON:
        return True
    if check.program in context.proc.map_readers and context.signs.shows(
        Sign.PROCESS_MAPS, check.site
    ):
        return True
    return check.program not in context.proc.listers


def _is_a_lister_reading_processes(check: Check, context: Context) -> bool:
    """ps opens the environ of every process, pidstat its io, and does without."""
    return (
        check.cap == _DAC_READ_SEARCH
        and check.program in context.proc.listers
        and _opens_private_files(check, context)
    )


def _is_a_debugger_reading_processes(check: Check, context: Context) -> bool:
    """gdb opens mem and auxv of the process that it traces, and asks by ptrace(2) where it is
    refused. Who traces and opens other files alone may have no other way: eu-stack ends without
    auxv."""
    return (
        check.cap in (_DAC_READ_SEARCH, _DAC_OVERRIDE)
        and check.program in context.proc.debuggers
        and _opens_private_files(check, context)
    )


def _opens_private_files(check: Check, context: Context) -> bool:
    """A path is not recorded, but each such file asks for PERFMON or SYS_PTRACE too, when opened or
    read."""
    return context.signs.shows(
        Sign.FILE_OPEN, check.site
    ) and check.count <= context.proc.memory_opens.get(check.program, 0)
