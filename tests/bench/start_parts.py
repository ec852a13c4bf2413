"""A ``capadvise run`` that tells what its start took of a processor, part by part: for ``start``.

Run as ``start_parts.py FD run …``. Loads nothing that capadvise does not: that would count. Writes
JSON to the descriptor.
"""

import time

INTERPRETER = time.process_time()

import builtins  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from _thread import get_ident  # noqa: E402

PARTS = {
    "arguments": ["capadvise.cli.parser:build_parser", "argparse:ArgumentParser.parse_args"],
    "kernel symbols": ["capadvise.observe.ftrace.kallsyms:Reading.__init__"],
    "control group": ["capadvise.observe.supervise.record:_open_own"],
    "BPF programs": ["capadvise.observe.ftrace.pointers:Pointers.open"],
    "start of the guardian": [
        "capadvise.observe.supervise.guardian_client:GuardianProcess.__init__"
    ],
    "new trace instances": ["capadvise.observe.ftrace.tracefs:Instance.__init__"],
    "filters": [
        "capadvise.observe.ftrace.tracefs:Instance.filter",
        "capadvise.observe.ftrace.tracefs:Instance.stacks",
    ],
    "enabling of events": ["capadvise.observe.ftrace.tracefs:Instance.enable"],
    "formats of events": [
        "capadvise.observe.ftrace.tracefs:format_of",
        "capadvise.observe.ftrace.tracefs:event_id",
    ],
    "followed threads": ["capadvise.observe.ftrace.tracefs:Instance.follow"],
}
"""What is measured, and the functions that do it; what one calls of another part is that one's."""

spent = dict.fromkeys(["interpreter", "imports", *PARTS], 0.0)
spent["interpreter"] = INTERPRETER
inner = {}
waiting = [(part, *place.split(":")) for part, places in PARTS.items() for place in places]


def timed(part, call):
    """The same function; its time is counted."""

    def measured(*given, **named):
        stack = inner.setdefault(get_ident(), [])
        stack.append(0.0)
        began = time.thread_time()
        try:
            return call(*given, **named)
        finally:
            taken = time.thread_time() - began
            spent[part] += taken - stack.pop()
            if stack:
                stack[-1] += taken

    return measured


def importing(name, globals=None, locals=None, fromlist=(), level=0):
    """As ``__import__``; what is loaded then is measured from its first call on."""
    known = None if level else sys.modules.get(name)
    if known is not None and not (fromlist and hasattr(known, "__path__")):
        return plain(name, globals, locals, fromlist, level)  # as most: to measure it takes longer
    return load(name, globals, locals, fromlist, level)


def loading(*given):
    """The same, of what may not be loaded yet."""
    module = plain(*given)
    for one in [one for one in waiting if one[1] in sys.modules]:
        owner, names = sys.modules[one[1]], one[2].split(".")
        if hasattr(owner, names[0]) and one in waiting:  # threads load modules, too
            waiting.remove(one)
            owner = getattr(owner, names[0]) if names[1:] else owner
            setattr(owner, names[-1], timed(one[0], getattr(owner, names[-1])))
            if one[0] == "start of the guardian":
                owner.send = tell_then(owner.send)
    return module


def tell_then(send):
    """When the target is let go, all is told."""

    def sending(guardian, message):
        if message == "go":
            total, clock = time.process_time(), time.clock_gettime
            spent["the rest"] = total - sum(spent.values())
            spent["guardian"] = clock(~guardian.pid << 3 | 2)  # CPUCLOCK_SCHED of a process
            at = time.clock_gettime(time.CLOCK_MONOTONIC)
            line = ", ".join(f'"{part}": {seconds}' for part, seconds in spent.items())
            os.write(told, f'{{"at": {at}, "parts": {{{line}}}}}\n'.encode())
        send(guardian, message)

    return sending


told = int(sys.argv.pop(1))
os.set_inheritable(told, False)
plain = builtins.__import__
load = timed("imports", loading)
builtins.__import__ = importing
from capadvise.cli import main  # noqa: E402

sys.exit(main())
