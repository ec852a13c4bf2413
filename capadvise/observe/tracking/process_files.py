"""Which files of a process in /proc take the right to trace it.

ptrace_may_access() in fs/proc/base.c, fd.c and namespaces.c. Names are as the path has them below
the folder of the process: ``environ``, ``fd/3``.
"""

from __future__ import annotations

import re

from capadvise.kernel import procfs

_LINKS = r"exe\Z|(root|cwd)(/|\Z)|(fd|ns|map_files)/."
_FILES = (
    r"(environ|maps|smaps\w*|numa_maps|mem|auxv|io|pagemap|syscall|stack|personality|timers)\Z"
    r"|fdinfo(/|\Z)"
)
_READ_LINK = ("readlink", "readlinkat")
_STAT = ("stat", "newfstatat", "statx")


def takes_trace(call: str, pid: int, file: str, target: int) -> bool:
    """Whether what a call does with a file takes the right to trace the process. stat(2) takes it
    where a link leads on alone. Programs look at the ancestors of the ``target`` to know where they
    run; their namespaces they open to enter them, and files in their root for what is there."""
    private = _LINKS if call in _STAT else f"{_LINKS}|{_FILES}"
    return bool(re.match(private, file)) and (
        _is_wanted_itself(call, file) or pid not in _ancestors(target)
    )


def is_descriptor(file: str) -> bool:
    """Whether it is a single one: a folder of all can be listed by the process's user."""
    return file.startswith("fd/") and len(file) > len("fd/")


def _is_wanted_itself(call: str, file: str) -> bool:
    if call in _READ_LINK:
        return False
    places = "(root|cwd)/." if call in _STAT else "(ns|root|cwd)/"
    return bool(re.match(places, file))


def _ancestors(pid: int) -> set[int]:
    above = {1}
    while (pid := procfs.parent(pid)) > 0 and pid not in above:
        above.add(pid)
    return above
