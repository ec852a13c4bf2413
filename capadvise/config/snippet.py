"""A set and its circumstances, as languages render them; and comment lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from capadvise.model.caps import Cap, CapSet, parse_set, setcap_words
from capadvise.model.escape import printable

if TYPE_CHECKING:
    from capadvise.judgement.opening import Opening
    from capadvise.judgement.report import Report


_BIND = parse_set(["NET_BIND_SERVICE"])
_OF_THE_HOST = parse_set(["MKNOD", "SYS_RAWIO", "SYS_MODULE", "SYS_ADMIN", "SYS_BOOT"])
YAML_WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")


@dataclass(frozen=True, slots=True)
class Snippet:
    """All that a format can say. Every text is one line that is safe in a comment."""

    name: str
    """Letters, digits, ``.``, ``_``, ``-``; begins with a letter; no word of YAML."""
    caps: tuple[tuple[Cap, str], ...]
    """In the order of their numbers, each with its reason: what was seen, in one short line."""
    notes: tuple[str, ...] = ()
    """Notes for readers of the file: settings of the host, side effects."""
    cautions: tuple[str, ...] = ()
    """Facts that the recording missed, and uncertain needs: for the author of the file, on a
    terminal or in a page, never in a configuration file."""
    user: str = "0:0"
    """``uid``, ``uid:gid``, or names."""
    of_image: bool = False
    """The image sets a user of its own, which is to stay: ``user`` is another one's name for it."""
    of_process: bool = False
    """The user is that of a process that ran already: it may have begun as another one."""
    own_user: bool = False
    """The container began as the user that its image or its configuration sets."""
    argv: tuple[str, ...] = ()
    """The target's command, as it was: hostile."""
    by_manager: bool = False
    """The command is one to an engine or to systemd, which start the program itself."""
    host_network: bool = False
    """It has the machine's network, of which no container may change a setting."""
    privileged: bool | None = None
    """True if it was started so; None: nobody knows."""
    no_new_privileges: bool | None = False
    """Files forbid to gain privileges: see ``judgement.flags``. None: they leave it open."""
    default_seccomp: bool = False
    """Files ask for the default seccomp profile."""
    seccomp_note: str = ""
    """Why they do not."""
    stays_inside: bool = False
    """Nothing was seen that only a privileged container may do."""
    set_name: str = "recommended"
    rests_on: str = ""
    """How the set is known: ``proven, 8 trials, 2026-11-30``; empty where a note says it."""
    hardening: tuple[str, ...] | None = None
    """Lines of a systemd unit that were proven together with this set; None: none were tried."""
    owner: tuple[str, str, str] | None = None
    """Kind and name of a pod's workload, and the container's own name."""
    minimal: CapSet | None = None
    """The minimal set, whichever this is; None: it is not proven."""
    sysctls: tuple[tuple[str, str], ...] = ()
    """Settings that stand beside the set: it passed its trial with them."""
    opening: Opening | None = None
    """The additions to the engine's seccomp profile that stand beside the set."""
    report: Report | None = field(default=None, compare=False)
    """The report behind it: pages show more of it."""

    @property
    def set_title(self) -> str:
        """``the minimal set``, ``the recommended set``."""
        without = self.opening and self.opening.without.short
        return f"the set without {without}" if without else f"the {self.set_name} set"

    @property
    def provenance(self) -> str:
        """Which set it is, who says so, and how it is known: the first comment of each file."""
        return f"capadvise: {self.set_title}{f': {self.rests_on}' if self.rests_on else ''}"

    @property
    def profile_name(self) -> str:
        """The name of the file with the opened seccomp profile."""
        return f"{self.name}.seccomp.json"

    @property
    def root(self) -> bool:
        """True if the user is uid 0, which gets the bounding set."""
        user = self.ids[0]
        return user == "root" or (user.isdecimal() and int(user) == 0)

    @property
    def says_user(self) -> bool:
        """True if a file has to set the user."""
        return not self.root and not self.of_image

    @property
    def ids(self) -> tuple[str, str | None]:
        """User and group."""
        user, _, group = self.user.partition(":")
        return user, group or None

    @property
    def only_low_ports(self) -> bool:
        """True if NET_BIND_SERVICE is all that is needed, by a user whom a sysctl serves better."""
        return not self.root and {cap for cap, _ in self.caps} == _BIND

    @property
    def unprivileged(self) -> bool:
        """True if the file should say ``privileged: false``: it was privileged, or nobody knows and
        no need reaches for devices or the kernel."""
        if self.privileged is not None:
            return self.privileged
        return self.stays_inside and not _OF_THE_HOST & {cap for cap, _ in self.caps}

    @property
    def file_capabilities(self) -> str:
        """The words for ``setcap``; a number for a capability without a name."""
        return setcap_words(cap for cap, _ in self.caps)

    def comments(self, indent: str = "", more: tuple[str, ...] = ()) -> str:
        """The provenance, the notes and more, as comment lines."""
        notes = (self.provenance, *self.notes, *more)
        return "".join(comment(note, indent) for note in notes)


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
