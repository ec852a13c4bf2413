"""Errors, each with the thing, the cause and a hint."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of capadvise itself; ``run`` otherwise exits as its target did."""

    OK = 0
    """Done."""
    FAILED = 1
    """The workload could not be proven, the gate failed, or the recommended sets differ."""
    USAGE = 2
    """Wrong arguments, or an input file that cannot be used."""
    CANNOT_OBSERVE = 3
    """This machine does not let us see capability checks."""
    NOT_EXECUTABLE = 126
    NOT_FOUND = 127
    INTERRUPTED = 130


class CapadviseError(Exception):
    """Something cannot be done. ``hint`` says what the user can do about it."""

    exit_code = Exit.USAGE

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class BadInput(CapadviseError):
    """A file or an argument that cannot be used; the message names the place."""


class CannotPatch(CapadviseError):
    """A file cannot be changed as intended; it stays as it is."""


class CannotObserve(CapadviseError):
    """The kernel's checks cannot be seen here."""

    exit_code = Exit.CANNOT_OBSERVE


class Declined(CapadviseError):
    """The user was asked, and refused."""

    exit_code = Exit.INTERRUPTED


class CannotStart(CapadviseError):
    """The target could not be executed."""

    def __init__(self, message: str, *, exists: bool, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = Exit.NOT_EXECUTABLE if exists else Exit.NOT_FOUND
