"""Evidence about a program that call sites give beyond the check: ``catalog/signs.yaml``.

The file holds names of kernel functions and system calls, and the counts from which they are
evidence. The code asks by role; the catalog says which functions have the role.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Sign(StrEnum):
    """The role of a kernel function in a call site; the file explains each in words."""

    OVERLAY_MOUNT = "overlay-mount"
    PROCESS_STATE = "process-state"
    PROCESS_LINKS = "process-links"
    PROCESS_NAMESPACES = "process-namespaces"
    PROCESS_DESCRIPTORS = "process-descriptors"
    PROCESS_MAPS = "process-maps"
    PROCESS_PRIVATE_FILES = "process-private-files"
    PROCESS_MEMORY = "process-memory"
    TRACING = "tracing"
    CLONED_NAMESPACES = "cloned-namespaces"
    AUDIT_MESSAGE = "audit-message"
    TERMINAL_OWNER = "terminal-owner"
    FILE_OPEN = "file-open"
    ACCESS_QUESTION = "access-question"
    NETLINK_REQUEST = "netlink-request"
    PERMISSION = "permission"
    USER_NAMESPACE_ENTERED = "user-namespace-entered"
    SOCKET_LIST = "socket-list"
    SETTINGS = "settings"
    RESTRICTED_SETTINGS = "restricted-settings"
    FORK = "fork"
    PATH_ABOVE = "path-above"
    PATH_ITSELF = "path-itself"
    PATH_ENTRY = "path-entry"
    NETLINK_MACHINE = "netlink-machine"
    NETLINK_OWNER = "netlink-owner"
    OVERCOMMIT = "overcommit"


class ImportSign(StrEnum):
    """The role of library functions that a program imports."""

    AUDIT_MESSAGE = "audit-message"
    AUDIT_CONTROL = "audit-control"
    CAPABILITY_TEST = "capability-test"
    PAM = "pam"


@dataclass(frozen=True, slots=True)
class Signs:
    """The content of the file."""

    functions: Mapping[Sign, frozenset[str]]
    symbols: Mapping[ImportSign, frozenset[str]]
    many_links: int
    few_states: int
    many_settings: int
    gives_up_rights: frozenset[str]
    """System calls."""
    about_itself: frozenset[str]
    """System calls that change the program's own priority, locked memory and limits."""
    asked: Mapping[str, str]
    """System call that does not fail if a capability is missing → the request in its arguments."""
    entered: Mapping[str, int]
    """Function that checks who enters a namespace → the flag that makes such namespaces."""
    overlay_prefix: str
    failed_anyway: frozenset[int]
    """Results (negative errnos) of calls that fail with or without the capability."""

    def shows(self, sign: Sign, site: Sequence[str]) -> bool:
        """True if one of the functions is in a call site."""
        return not self.functions[sign].isdisjoint(site)

    def is_of_overlay(self, function: str) -> bool:
        """True if a function, or the name of one in a rule, belongs to overlayfs."""
        return function.startswith(self.overlay_prefix)
