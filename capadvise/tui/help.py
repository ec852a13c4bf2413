"""What the help says of the tab that is shown, below its keys."""

from __future__ import annotations

LAMPS = """\
The lamps: ● needed   ◆ needed, root-equivalent   ○ incidental   ◐ optional   × denied
+ added by you   − dropped   · not checked   ? checked a moment ago
"""
LIVE = """\
What the kernel checks while the program runs. Use the program as it will be used: only what it \
does now can be seen.

needed: a call depends on it (so far), and the call that decides is shown.
incidental: checked, but the result has no effect.
denied: refused, and the program went on.

q stops the program as a container runtime would: SIGTERM, and SIGKILL ten seconds later. The \
report is saved in any case. When it has ended, ← and → go through what happened.
"""
REVIEW = """\
A capability is a piece of root's power: the fewer a program is given, the less an attacker gets. \
✓ is kept, + added by you, − dropped by you.

required: a trial failed without it.   needed: a call depends on it.
optional: it works without, and loses something.
incidental: checked, but the result has no effect.
denied: refused, and the program went on.

user ns: it works in a user namespace of its own (hostUsers: false, userns-remap), too. \
host only: it does not.
"""
PROOF = """\
A trial runs the command again with fewer capabilities, isolated from the system.

The minimal set (floor) is the smallest that works: it fails without any one member. The \
recommended set is the minimal one, and what loses something when it is missing: workers that \
stay root, for example.
"""
RISK = """\
What an attacker could do with exactly the chosen set, the worst first: root-equivalent, high, \
medium, low; and what to do instead.

Space drops the highlighted capability: its attacks are struck out, and what breaks is said.
"""
WATCH = """\
What is refused on this machine, by owner: a container, a pod, a unit, a user, or else the \
program; who came last stands first. Below: what refused the highlighted call, and the cure.

Harmless is what has no effect: the program goes on, or only a detail is lost. Without audit \
records, refusals by AppArmor and SELinux are not seen.

q ends the watch, with a summary.
"""
WATCH_LAMPS = """\
The lamps, one for each capability: × a call was refused for lack of it   · none was
"""
SAVE = """\
Nothing is written before Save. Where the file is there already, only the named service is \
changed, and the change is shown first.
"""
EXPORT = """\
Three files that need no other: a picture, a page and a table for a pull request.
"""
