"""What the help panel says of the screen that has the focus, above its keys."""

from __future__ import annotations

LIVE = """\
What the kernel is asked while the program runs. Use the program as it will be used: only what it \
does now can be seen.

- `●` **used**: a call depends on it (so far)
- `○` **advisory**: asked in passing
- `×` **denied**: refused, and the program went on
- `◐` **tolerated**: refused in a run that ended well

**Stop** ends the program as a container runtime would: SIGTERM, and SIGKILL ten seconds later. \
The report is saved in any case.
"""
REVIEW = """\
A **capability** is a piece of root's power: the fewer a program is given, the less an attacker \
gets. `✓` kept, `+` added by you, `−` dropped by you.

- `●` **required** (a trial failed without it) or **used** (a call depends on it)
- `◐` **tolerated**: used, but a trial passed without it
- `○` **advisory**: asked in passing
- `×` **denied**: refused, and the program went on
- `·` **unused**: never asked

Besides: `/` search, `u` never asked, `c` copy, `1` `2` `3` screens.
"""
PROOF = """\
A **trial** runs the command again with fewer capabilities, in namespaces of its own.

- The **floor** is the smallest set that passes: it fails without any one member.
- The **recommended** set is the floor, and what loses something when it is missing: workers that \
stay root, for example.
"""
RISK = """\
What an attacker could still do with exactly the chosen set, the worst first: **root** (as good as \
root on the host), **high**, **medium**, **low**; and the way out of each.
"""
SAVE = """\
Nothing is written before **Save**. Where the file is there already, only the named service is \
changed, and the change is shown first.
"""
