"""The system calls that Python lacks: one function each, and the errno as an OSError.

The one place that loads libc. The standard library alone, since the guardian, the launcher of
retries and the processes that they fork call it.
"""

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn

from capadvise.kernel import uapi

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
_libc.mount.argtypes = (*[ctypes.c_char_p] * 3, ctypes.c_ulong, ctypes.c_char_p)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long
_libc.syscall.restype = ctypes.c_long


def _call(function: str, *arguments: object, what: str = "") -> int:
    """The result of a function of libc. ``what``: its name for the error, if that tells more."""
    result = int(getattr(_libc, function)(*arguments))
    if result < 0:
        _fail(what or function)
    return result


def _fail(call: str) -> NoReturn:
    """Raise the errno of the last call."""
    code = ctypes.get_errno()
    raise OSError(code, f"{call}: {os.strerror(code)}")


def unshare(flags: int) -> None:
    """Leave these namespaces for new ones: CLONE_NEW*."""
    _call("unshare", flags)


def setns(fd: int, kind: int) -> None:
    """Enter the namespace that an open file stands for: of a CLONE_NEW* kind."""
    _call("setns", fd, kind)


def mount(
    source: str | None,
    target: str,
    flags: int,
    kind: str | None = None,
    options: str | None = None,
) -> None:
    """Mount a file system of a kind; or without one, bind a mount or change how it spreads."""
    texts = (source, target, kind, options)
    source_, target_, kind_, options_ = (None if x is None else os.fsencode(x) for x in texts)
    _call("mount", source_, target_, kind_, flags, options_, what=f"mount {target}")


def unmount(target: str) -> None:
    """Detach a mount: processes that use it can go on."""
    _call("umount2", os.fsencode(target), uapi.MNT_DETACH, what=f"umount {target}")


def mount_detached(kind: str) -> int:
    """Mount a filesystem nowhere: it belongs to the file descriptor returned, and ends with it."""
    context = _syscall("fsopen", uapi.FSOPEN, kind.encode(), uapi.FSOPEN_CLOEXEC)
    try:
        _syscall("fsconfig", uapi.FSCONFIG, context, uapi.FSCONFIG_CMD_CREATE, None, None, 0)
        return _syscall("fsmount", uapi.FSMOUNT, context, uapi.FSMOUNT_CLOEXEC, 0)
    finally:
        os.close(context)


def fanotify(
    places: Iterable[str], what: int, events: int, *, names: bool = False, how: int = os.O_RDONLY
) -> int:
    """A descriptor with the events of the mounts or file systems at these places: FAN_MARK_*. An
    event has a descriptor of its file, opened as ``how`` says, or else ``names``."""
    flags = uapi.FAN_CLOEXEC | uapi.FAN_NONBLOCK | (uapi.FAN_REPORT_DFID_NAME if names else 0)
    fd = _call("fanotify_init", flags, how | os.O_NONBLOCK | os.O_CLOEXEC)
    mark = ctypes.c_uint(uapi.FAN_MARK_ADD | what)
    for place in places:  # one that another mount hides fails
        _libc.fanotify_mark(fd, mark, ctypes.c_uint64(events), uapi.AT_FDCWD, os.fsencode(place))
    return fd


def open_in_root(root: str, path: str) -> int:
    """A handle on what a path means to a process with this root: links stay within it."""
    top = os.open(root, os.O_PATH | os.O_CLOEXEC)
    how = struct.pack("<QQQ", os.O_PATH | os.O_CLOEXEC, 0, uapi.RESOLVE_IN_ROOT)
    buffer = ctypes.create_string_buffer(how, len(how))
    try:
        return _syscall("openat2", uapi.OPENAT2, top, os.fsencode(path), buffer, len(how))
    finally:
        os.close(top)


def become_subreaper() -> None:
    """Make orphans below this process its children, so that they can be found and killed."""
    _prctl("PR_SET_CHILD_SUBREAPER", uapi.PR_SET_CHILD_SUBREAPER, 1)


def set_parent_death_signal(number: int) -> None:
    """Get this signal when the thread that started this process ends."""
    _prctl("PR_SET_PDEATHSIG", uapi.PR_SET_PDEATHSIG, number)


def call_this_process(name: str, arguments: str) -> None:
    """Set the name of this process in ps(1), at most 15 bytes, and its arguments there, cut to the
    length of those that it was started with."""
    with open("/proc/self/comm", "w") as file:
        file.write(name)
    with open("/proc/self/stat") as file:
        start, end = map(int, file.read().rpartition(")")[2].split()[45:47])  # arg_start, arg_end
    if start < end:  # else the kernel does not tell
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, arguments.encode(), min(len(arguments), end - start - 1))


def securebits() -> int:
    """The securebits of the calling thread, as a mask."""
    return _prctl("PR_GET_SECUREBITS", uapi.PR_GET_SECUREBITS)


def drop_bounding(cap: int) -> None:
    """Take a capability out of the bounding set."""
    _prctl("PR_CAPBSET_DROP", uapi.PR_CAPBSET_DROP, cap)


def forbid_new_privileges() -> None:
    """Set no_new_privs: no exec gives this process more than it has."""
    _prctl("PR_SET_NO_NEW_PRIVS", uapi.PR_SET_NO_NEW_PRIVS, 1)


_NO_CAPABILITY = 255


def check_setpcap() -> None:
    """Have the kernel check SETPCAP, and then refuse to drop what is no capability."""
    drop_bounding(_NO_CAPABILITY)


def check_sys_admin() -> None:
    """Have the kernel check SYS_ADMIN: it shows no trusted attribute without (fs/xattr.c,
    xattr_permission()). There is none, so this raises OSError in any case. No engine's seccomp
    profile refuses the call."""
    os.getxattr("/proc/self", "trusted.capadvise")


def inotify() -> int:
    """A new inotify(7) instance, which does not wait."""
    return _call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)


def inotify_add(fd: int, path: str, mask: int) -> None:
    """Let an inotify instance tell what happens to a file, or to the files of a folder."""
    _call("inotify_add_watch", fd, os.fsencode(path), ctypes.c_uint32(mask), what=f"watch {path}")


def raise_ambient(cap: int) -> None:
    """Let an exec keep a capability that is permitted and inheritable."""
    _prctl("PR_CAP_AMBIENT_RAISE", uapi.PR_CAP_AMBIENT, uapi.PR_CAP_AMBIENT_RAISE, cap)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install_seccomp_filter(code: bytes) -> None:
    """Let the calling thread's system calls pass through this cBPF program."""
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(buffer))
    at = ctypes.addressof(program)
    _prctl("PR_SET_SECCOMP", uapi.PR_SET_SECCOMP, uapi.SECCOMP_MODE_FILTER, at)


def capget() -> tuple[int, int, int]:
    """The effective, permitted and inheritable set of the calling thread, as masks."""
    sets = (ctypes.c_uint32 * 6)()  # all three, then their upper halves
    _call("capget", _capability_header(), sets)
    effective, permitted, inheritable = (sets[at] | sets[at + 3] << 32 for at in range(3))
    return effective, permitted, inheritable


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the capability sets of the calling thread."""
    masks = (effective, permitted, inheritable)
    halves = [mask >> shift & 0xFFFFFFFF for shift in (0, 32) for mask in masks]
    _call("capset", _capability_header(), (ctypes.c_uint32 * 6)(*halves))


def ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> int:
    """One request about a thread: PTRACE_*."""
    return _call("ptrace", request, pid, address, data)


def seccomp_filter(pid: int, index: int) -> bytes:
    """A filter of a stopped thread that we trace, the oldest first."""
    count = ptrace(uapi.PTRACE_SECCOMP_GET_FILTER, pid, index)
    buffer = ctypes.create_string_buffer(count * 8)  # struct sock_filter
    ptrace(uapi.PTRACE_SECCOMP_GET_FILTER, pid, index, ctypes.addressof(buffer))
    return buffer.raw


def bpf_array(size: int, entries: int) -> int:
    """An array of values of this size that can be mapped (mmap); its descriptor."""
    return bpf_map(uapi.BPF_MAP_TYPE_ARRAY, 4, size, entries, uapi.BPF_F_MMAPABLE)


def bpf_popping(queue: int, size: int) -> Callable[[], bytes | None]:
    """A function that takes the oldest value out of a queue, or returns None if the queue is empty.
    There can be many values: the call is prepared once."""
    value = ctypes.create_string_buffer(size)
    attributes = _bpf_attributes("<IIQQQ", queue, 0, 0, ctypes.addressof(value), 0)
    command, number = uapi.BPF_MAP_LOOKUP_AND_DELETE_ELEM, _bpf_number()

    def pop() -> bytes | None:
        if _libc.syscall(number, command, attributes, _BPF_ATTRIBUTES) < 0:
            if ctypes.get_errno() == errno.ENOENT:
                return None
            _fail("bpf")
        return value.raw

    return pop


def bpf_take_count(counts: int) -> tuple[int, int] | None:
    """Take an entry out of a table from number to number, of 8 bytes each; None if it is empty."""
    key, value = ctypes.c_uint64(), ctypes.c_uint64()
    at, to = ctypes.addressof(key), ctypes.addressof(value)
    try:
        _bpf(uapi.BPF_MAP_GET_NEXT_KEY, "<IIQQ", counts, 0, 0, at)
    except FileNotFoundError:
        return None
    _bpf(uapi.BPF_MAP_LOOKUP_ELEM, "<IIQQ", counts, 0, at, to)
    _bpf(uapi.BPF_MAP_DELETE_ELEM, "<IIQ", counts, 0, at)
    return key.value, value.value


def perf_tracepoint(number: int, program: int) -> int:
    """Run a BPF program whenever a tracepoint is reached, anywhere on this machine, for as long as
    the descriptor is open."""
    kind, size = uapi.PERF_TYPE_TRACEPOINT, uapi.PERF_ATTR_SIZE
    attributes = struct.pack("<IIQ", kind, size, number).ljust(size, b"\0")
    buffer = ctypes.create_string_buffer(attributes, size)
    call = uapi.PERF_EVENT_OPEN.get(os.uname().machine, uapi.PERF_EVENT_OPEN_OTHERS)
    fd = _syscall("perf_event_open", call, buffer, -1, 0, -1, uapi.PERF_FLAG_FD_CLOEXEC)
    try:
        fcntl.ioctl(fd, uapi.PERF_EVENT_IOC_SET_BPF, program)
        fcntl.ioctl(fd, uapi.PERF_EVENT_IOC_ENABLE, 0)
    except OSError:
        os.close(fd)
        raise
    return fd


def bpf_map(kind: int, key: int, value: int, entries: int, flags: int = 0) -> int:
    """A map of a kind (BPF_MAP_TYPE_*); its descriptor."""
    return _bpf(uapi.BPF_MAP_CREATE, "<5I", kind, key, value, entries, flags)


def bpf_update(table: int, key: bytes, value: bytes) -> None:
    """Put an entry into a map."""
    key_, value_ = (ctypes.create_string_buffer(text, len(text)) for text in (key, value))
    addresses = ctypes.addressof(key_), ctypes.addressof(value_)
    _bpf(uapi.BPF_MAP_UPDATE_ELEM, "<IIQQQ", table, 0, *addresses, 0)


def bpf_lookup(table: int, key: bytes, size: int) -> bytes | None:
    """The value of an entry, of this size; None where there is none."""
    key_, value = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(size)
    addresses = ctypes.addressof(key_), ctypes.addressof(value)
    try:
        _bpf(uapi.BPF_MAP_LOOKUP_ELEM, "<IIQQQ", table, 0, *addresses, 0)
    except FileNotFoundError:
        return None
    return value.raw


def bpf_entries(table: int, key: int, value: int) -> Iterator[tuple[bytes, bytes]]:
    """The entries of a map, with keys and values of these sizes. The map may change during the
    iteration."""
    keys, values = (ctypes.create_string_buffer(size * _BATCH) for size in (key, value))
    token, before = ctypes.c_uint64(), 0
    at, to_keys, to_values = map(ctypes.addressof, (token, keys, values))
    more = True
    while more:
        attributes = _bpf_attributes("<QQQQII", before, at, to_keys, to_values, _BATCH, table)
        command, before = uapi.BPF_MAP_LOOKUP_BATCH, at
        more = _libc.syscall(_bpf_number(), command, attributes, _BPF_ATTRIBUTES) >= 0
        if not more and ctypes.get_errno() != errno.ENOENT:  # else that was all
            _fail("bpf")
        all_keys, all_values = keys.raw, values.raw
        for number in range(struct.unpack_from("<I", attributes, 32)[0]):
            of_key, of_value = number * key, number * value
            yield all_keys[of_key : of_key + key], all_values[of_value : of_value + value]


_BATCH = 512
"""Entries that are read at once: as many as can share a place in a table, at least."""


def bpf_load_program(kind: int, code: bytes, attached_as: int = 0, function: int = 0) -> int:
    """Let the kernel check and take a program of a kind (BPF_PROG_TYPE_*); its descriptor.
    ``function``: the BTF number of the kernel's function at which it will run."""
    buffer = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"Dual MIT/GPL")  # reading memory is for such programs
    addresses = ctypes.addressof(buffer), ctypes.addressof(licence)
    layout = "<IIQQ44xI36xI"
    given = kind, len(code) // 8, *addresses, attached_as, function
    return _bpf(uapi.BPF_PROG_LOAD, layout, *given)


def bpf_raw_tracepoint(name: str | None, program: int) -> int:
    """Run a program at a tracepoint, or where it was loaded for, as long as this descriptor is
    open."""
    text = None if name is None else ctypes.create_string_buffer(name.encode())
    at = 0 if text is None else ctypes.addressof(text)
    return _bpf(uapi.BPF_RAW_TRACEPOINT_OPEN, "<QI", at, program)


_BPF_ATTRIBUTES = 120


def _bpf(command: int, layout: str, *values: int) -> int:
    attributes = _bpf_attributes(layout, *values)
    return _syscall("bpf", _bpf_number(), command, attributes, _BPF_ATTRIBUTES)


def _bpf_attributes(layout: str, *values: int) -> ctypes.Array[ctypes.c_char]:
    packed = struct.pack(layout, *values).ljust(_BPF_ATTRIBUTES, b"\0")
    return ctypes.create_string_buffer(packed, len(packed))


def _bpf_number() -> int:
    return uapi.BPF.get(os.uname().machine, uapi.BPF_OTHERS)


def _prctl(name: str, option: int, *arguments: int) -> int:
    return _call("prctl", option, *arguments, *[0] * (4 - len(arguments)), what=name)


def _syscall(name: str, number: int, *arguments: object) -> int:
    return _call("syscall", number, *arguments, what=name)


def _capability_header() -> ctypes.Array[ctypes.c_uint32]:
    return (ctypes.c_uint32 * 2)(uapi.LINUX_CAPABILITY_VERSION_3, 0)
