"""A run that cannot begin: what was made for it is removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.support.processes import leftovers, running
from tests.support.wait import until

HIDDEN = """
import os
from capadvise.model.errors import CannotObserve
from capadvise.observe.ftrace import tracefs
from capadvise.observe.supervise.command import Command
from capadvise.observe.supervise.record import observe
from capadvise.observe.ftrace.kallsyms import Reading

def refuse(self):
    raise CannotObserve("the addresses are hidden")

Reading.result = refuse
try:
    observe(Command(("true",), wait=True))
except CannotObserve as error:
    print(error)
print(list((tracefs.find() / "instances").glob(f"{tracefs.PREFIX}{os.getpid()}-*")))
"""


def test_what_fails_while_the_buffers_are_made_leaves_none() -> None:
    """As where the kernel hides its addresses, which is known sooner than the buffers are there.
    A process of its own: the recorder's takes orphans in."""
    done = subprocess.run([sys.executable, "-c", HIDDEN], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("the addresses are hidden\n[]\n", 0), done.stderr


LINGERS = """
import os, time
from types import SimpleNamespace
from capadvise.observe.ftrace import tracefs
from capadvise.observe.supervise import guardian
from capadvise.observe.supervise.command import Command
from capadvise.observe.supervise.record import observe

folder = tracefs.find() / "instances"
(told, tells), (waits, goes_on) = os.pipe(), os.pipe()
for fd in (tells, waits):
    os.set_inheritable(fd, True)

def has_buffers():
    return any(folder.glob(f"{tracefs.PREFIX}{os.getpid()}-*"))

def sleep(seconds):
    os.write(tells, str(seconds).encode())
    os.read(waits, 1)

guardian.time = SimpleNamespace(sleep=sleep)
observe(Command(("true",), linger=1.0))
os.close(tells)
print(os.read(told, 9), has_buffers())
os.write(goes_on, b".")
while has_buffers():
    time.sleep(0.05)
"""


def test_buffers_are_removed_later_where_another_start_follows() -> None:
    """The kernel removes and makes one at a time: what is started next would wait for that."""
    done = subprocess.run([sys.executable, "-c", LINGERS], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("b'1.0' True\n", 0), done.stderr


RECORDED = """
import os, struct
from capadvise.observe.ftrace import ringbuffer, tracefs
from capadvise.observe.ftrace.instances import Buffers

def asks():
    os.setuid(0)

buffers = Buffers(tracefs.find(), missing=frozenset())
pids = []

def followed():
    if not pids:
        asks()  # all is enabled, and nobody is followed yet: nothing of this is recorded
    pids.append(os.getpid())
    return pids[:1]

try:
    buffers.open(followed)
    kinds = [kind for _, page in buffers.quiet.pages() if page
             for _, kind, pid, _ in ringbuffer.events(page)]
    print(len(kinds))
    asks()
    buffers.keep()  # as while what reads them is being loaded
    asks()
    buffers.number_calls()
    called = [buffers.types.enters.get(kind) for _, page in buffers.quiet.pages() if page
              for _, kind, pid, _ in ringbuffer.events(page) if pid == pids[0]]
    print(called.count("setuid"))
finally:
    buffers.close()
    buffers.remove()
"""


def test_all_is_recorded_from_when_it_is_known_whom_to_follow() -> None:
    done = subprocess.run([sys.executable, "-c", RECORDED], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("0\n2\n", 0), done.stderr


HELD = """
import os
from capadvise.observe.supervise.guardian_client import GuardianProcess

read, write = os.pipe()
os.set_blocking(read, False)
guardian = GuardianProcess()
guardian.hold([write])
os.close(write)
try:
    os.read(read, 1)
except BlockingIOError:
    print("held")
guardian.release()
guardian.wait()
print(os.read(read, 1))
"""


def test_what_the_guardian_holds_is_closed_when_it_ends() -> None:
    done = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("held\nb''\n", 0), done.stderr


UNSEEN = """
import sys
from capadvise.cli import main
from capadvise.observe.ftrace import tracefs
from capadvise.observe.supervise.session import Session
let_go = Session.release
def release(session, *loading):
    tracefs.write(session.buffers.quiet.folder / "set_event", "")
    return let_go(session, *loading)
Session.release = release
sys.exit(main(["run", "--no-tui", "-o", "/dev/null", "--", "true"]))
"""
"""As where somebody else on this machine switches the events off, or reads them."""


def test_a_target_of_which_nothing_was_seen_gets_no_clean_bill() -> None:
    done = subprocess.run([sys.executable, "-c", UNSEEN], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert "recorded in part: the trace may have gaps (set_event was written, " in said


NO_ANSWER = """
import sys
from capadvise.observe.supervise.command import Command
from capadvise.observe.supervise.session import Tracing, session

sweep = [[["sleep", sys.argv[1]], ["true"]]]
with session(Command(("true",)), tracing=Tracing(), sweep=sweep) as ready:
    ready.release()
"""
"""It lists what is to be removed by a command that takes its time."""


def test_the_buffers_go_although_an_engine_does_not_answer(marker: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", NO_ANSWER, marker])
    assert process.wait() == 0
    (listing,) = until(lambda: running(f"sleep\0{marker}"))
    until(lambda: not [name for name in leftovers() if f"-{process.pid}-" in name])
    os.kill(listing, signal.SIGKILL)  # waited for until then
    (again,) = until(lambda: [pid for pid in running(f"sleep\0{marker}") if pid != listing])
    os.kill(again, signal.SIGKILL)
    until(lambda: not running(f"sleep\0{marker}"))


LEFT = """
import os
from capadvise.observe.ftrace import tracefs
from capadvise.observe.ftrace.instances import remove_left_by_killed
from capadvise.kernel import procfs

root = tracefs.find()
pid = os.fork()
if pid == 0:
    tracefs.Instance(root, f"{tracefs.PREFIX}{procfs.mark()}-quiet", buffer_kb=64)
    os._exit(0)
os.waitpid(pid, 0)
remove_left_by_killed()
print(list((root / "instances").glob(f"{tracefs.PREFIX}{pid}-*")))
"""


def test_what_a_killed_trial_leaves_is_found_whoever_of_it_made_that() -> None:
    """Not the stage makes the buffers, but a process of it."""
    done = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
