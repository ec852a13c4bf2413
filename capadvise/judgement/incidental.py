"""Checks whose meaning depends on what else the program does in the run: is a check incidental to
something else, and does the program work without what was refused? Pure.
"""

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
"""The length of a program's name in its process: TASK_COMM_LEN of linux/sched.h."""
_READS_LINKS = ("readlink", "readlinkat")
_OWNERS = "without it, only the owners of some sockets are missing in the list"
_SETS_UP_NETWORKS = ("ioctl", "sendto", "sendmsg")


class IncidentalUse(NamedTuple):
    """Something that a program does along the way."""

    why: str
    lost: str | None = None
    doubt: str | None = None
    """Why it is believed that a refusal changes nothing; None if that is certain."""


def incidental_use(check: Check, context: Context) -> IncidentalUse | None:
    """Return the purpose of a check if it does not decide whether the program does its job."""
    if _continues_within_a_session(check):
        return IncidentalUse("continuing a process of its own session")
    if _would_make_a_descriptor(check, context):
        return IncidentalUse(
            "opening a file in /proc/PID/fd with O_CREAT, although no file can be created there"
        )
    if _looks_up_owners(check, context):
        why = "looking up the owners of the sockets that it lists"
        return IncidentalUse(why, doubt=_OWNERS)
    if _is_a_lister_reading_processes(check, context):
        why = "reading /proc files of the processes that it lists"
        return IncidentalUse(why, doubt=may_seek_one(check, context))
    if _is_a_debugger_reading_processes(check, context):
        return IncidentalUse(
            "opening files of the process that it traces",
            "reading and writing its memory through /proc: ptrace(2) does it word by word",
            "debuggers use ptrace(2) instead",
        )
    return None


def _continues_within_a_session(check: Check) -> bool:
    """A shell's ``fg``: SIGCONT may go to every process of the sender's session, whatever its user.
    The kernel checks KILL before it looks at the session (check_kill_permission() of
    kernel/signal.c)."""
    return check.cap == _KILL and dict(check.args).get("same_session") == 1


def _would_make_a_descriptor(check: Check, context: Context) -> bool:
    """Shells and daemons open(2) /proc/self/fd/2 (/dev/stderr) with O_CREAT: the kernel checks
    whether the folder may be written to, and ignores the answer if the file exists (lookup_open()
    of fs/namei.c). For reading it checks DAC_READ_SEARCH first (generic_permission()). If that was
    not refused, the check was about writing, and procfs creates no file for anybody."""
    return (
        check.cap == _DAC_OVERRIDE
        and check.granted
        and check.program not in context.proc.descriptor_refused
        and context.signs.shows(Sign.PROCESS_DESCRIPTORS, check.site)
        and not context.signs.shows(Sign.ACCESS_QUESTION, check.site)
    )


def _looks_up_owners(check: Check, context: Context) -> bool:
    """ss reads descriptors to name the owners of the sockets that it lists."""
    return check.program in context.proc.socket_listers and context.signs.shows(
        Sign.PROCESS_DESCRIPTORS, check.site
    )


def likely_optional(check: Check, context: Context) -> str | None:
    """Return why the program would probably work without the capability; None: no evidence for
    that."""
    return _flushes_a_device(check) or _isolates_children(check, context)


def _flushes_a_device(check: Check) -> str | None:
    """mkfs.xfs, parted and photorec flush the disk that they work on, and ignore a refusal. For
    ``blockdev --flushbufs`` flushing is the job; nothing else in the run tells the two apart."""
    if check.syscall != "ioctl" or dict(check.args).get("cmd") != _BLKFLSBUF:
        return None
    return (
        "likely optional: programs usually go on if they cannot flush a block device; "
        "capadvise prove tells"
    )


def _isolates_children(check: Check, context: Context) -> str | None:
    """A program that makes containers also gives them their own view of files. A program that only
    forks children into other new namespaces, sets up nothing there and executes nothing, isolates
    its own workers if it can (vsftpd): their work is the same without. A program that executes
    another one there wants to isolate it (chrome-sandbox), and ends if it cannot."""
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
        "namespaces if those are refused; capadvise prove tells"
    )


def did_without(check: Check, context: Context) -> bool:
    """True if the run ended well although the kernel refused, or if the program served with less
    memory or a lower limit than it had requested. A priority does not count: somebody configured
    that (nginx's worker_priority)."""
    return context.succeeded or (
        check.syscall in context.signs.about_itself
        and check.cap != _SYS_NICE
        and check.program[:_COMM] in context.still_running
    )


def cannot_do_without(check: Check, context: Context) -> str | None:
    """Return why this program needs what others do without: it executed a program there, while
    others only search that folder on PATH; its options say to leave access times alone (tar,
    rsync), while others try again without O_NOATIME; or it checks its access in advance; or it
    sends audit messages by itself (others let PAM do it), and configures audit or gives a user a
    terminal, as sshd does, which ends a login that it cannot log."""
    executed = check.granted and check.result == 0 and check.syscall in EXECUTES
    if executed and context.signs.shows(Sign.PERMISSION, check.site):
        return "the program was executed from that folder; PATH may have another of the same name"
    if context.signs.shows(Sign.ACCESS_QUESTION, check.site):
        # Daemons call access(2) for their folders before they become another user, and some end if
        # the answer is no (yadifad); others, such as bwrap and fusermount, only choose what to do.
        if not check.granted or check.program not in context.user_changers:
            return None
        return "some programs end if access(2) says no, others go on"
    if check.cap == _FOWNER and context.signs.shows(Sign.FILE_OPEN, check.site):
        told = check.program in context.access_time_keepers
        return "its options say to leave access times alone" if told else None
    if not context.signs.shows(Sign.AUDIT_MESSAGE, check.site):
        return None
    if check.program not in context.importers(ImportSign.AUDIT_MESSAGE):
        return None
    if check.program in context.importers(ImportSign.AUDIT_CONTROL):
        return "sending these messages can be its only purpose"
    if check.program in context.terminal_givers:
        return "some programs end a login that they cannot log, others go on"
    return None


def looks_for(check: Check, context: Context) -> tuple[Cap, str] | None:
    """Return a capability that a program looks for in its own sets, and ends without."""
    if not context.signs.shows(Sign.AUDIT_MESSAGE, check.site):
        return None
    if check.program not in context.importers(ImportSign.AUDIT_CONTROL):
        return None
    return _AUDIT_CONTROL, "looking for it in its own sets (audit_can_control() of libaudit)"


def looks_at_chosen(check: Check, context: Context) -> bool:
    """True if the program reads chosen processes, so that a refusal defeats it; false if it goes
    through all of them (ps, top) and shows less. lsof and fuser also go through all, but they want
    the descriptors: once they may read these, they need to follow the links as well."""
    if context.signs.shows(Sign.RESTRICTED_SETTINGS, check.site):
        return check.program not in context.proc.setting_listers
    if check.cap == _PERFMON and (
        check.program not in context.foreign_readers
        or check.program in context.proc.private_readers
    ):
        return False  # Linux 6.18 also checks it, even for the caller's own processes: mm_access
    if check.program in context.proc.seekers and check.cap != _PERFMON:
        return True
    if check.program in context.proc.map_readers and context.signs.shows(
        Sign.PROCESS_MAPS, check.site
    ):
        return True
    return check.program not in context.proc.listers


def may_seek_one(check: Check, context: Context) -> str | None:
    """Return why a program that goes through all processes probably does without a look into them;
    None if it looks into so many that it wants none of them in particular. Some find a process by
    its name, and then read its environment or its folder: that is a look or two. Others find it by
    its program file or its folder (pidof, start-stop-daemon): they follow a link of each."""
    if check.program in context.proc.socket_listers:
        return _OWNERS
    if check.cap == _PERFMON or context.signs.shows(Sign.RESTRICTED_SETTINGS, check.site):
        return None
    if check.program not in context.proc.few_lookers and check.syscall not in _READS_LINKS:
        return None
    return "it lists all processes, and programs that do usually look for none in particular"


def acts_as_root(check: Check, context: Context) -> bool:
    """True if the capability gives another user root's access to a setting below /proc/sys, which
    root has anyway: such a user may want to change it (net_ctl_permissions() of net/sysctl_net.c).
    """
    return bool(check.uid) and context.signs.shows(Sign.SETTINGS, check.site)


def seeks_state(check: Check, context: Context) -> bool:
    """True if a program that lists all processes reads the state of few: it may want a field that
    the kernel shows as 0 (do_task_stat() of fs/proc/array.c). ps and pgrep read that of all."""
    is_state = context.signs.shows(Sign.PROCESS_STATE, check.site)
    return is_state and check.program in context.proc.state_seekers


def leaves_to_pam(check: Check, context: Context) -> bool:
    """PAM writes to the audit log on behalf of su and cron, and goes on where it may not."""
    return context.signs.shows(
        Sign.AUDIT_MESSAGE, check.site
    ) and check.program in context.importers(ImportSign.PAM)


def _is_a_lister_reading_processes(check: Check, context: Context) -> bool:
    """ps opens the environ of every process and pidstat its io; both work without."""
    return (
        check.cap == _DAC_READ_SEARCH
        and check.program in context.proc.listers
        and _opens_private_files(check, context)
    )


def _is_a_debugger_reading_processes(check: Check, context: Context) -> bool:
    """gdb opens mem and auxv of the process that it traces, and uses ptrace(2) if it is refused. A
    program that traces and opens only other files may have no other way: eu-stack ends without
    auxv."""
    return (
        check.cap in (_DAC_READ_SEARCH, _DAC_OVERRIDE)
        and check.program in context.proc.debuggers
        and _opens_private_files(check, context)
    )


def _opens_private_files(check: Check, context: Context) -> bool:
    """Checks have no path, but the kernel also checks PERFMON or SYS_PTRACE when such a file is
    opened or read."""
    return context.signs.shows(
        Sign.FILE_OPEN, check.site
    ) and check.count <= context.proc.memory_opens.get(check.program, 0)
