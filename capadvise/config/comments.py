"""Comment lines of a file, and words that several of them hold.

Apart from ``snippet``: who only reads files needs nothing of what a report is made from.
"""

from __future__ import annotations

from capadvise.model.escape import printable

PORT_START = "net.ipv4.ip_unprivileged_port_start"
SETCAP_UNTRIED = "not tried; every user who starts the program has them"


def comment(text: str, indent: str = "") -> str:
    """Comment lines that say one thing."""
    import textwrap  # whoever only reads files writes no comments

    lines = textwrap.wrap(
        one_line(text), 94, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}#   "
    )
    # A backslash at the end would join the next line to the comment in a unit file.
    return "".join(f"{line.rstrip(chr(92))}\n" for line in lines)


def one_line(text: str) -> str:
    """Text from a traced process or a report, as a comment at the end of a line can bear it."""
    return printable(text).rstrip("\\ ")
