"""The kernel's audit records as they are made: netlink group AUDIT_NLGRP_READLOG.

No rule is added and nothing is switched on: the kernel reports denials by security modules and
kills by seccomp filters on its own, whether or not an auditd runs. Listening takes CAP_AUDIT_READ
in the initial user namespace, and the initial network namespace (kauditd_send_multicast_skb()).
"""

from __future__ import annotations

import _socket  # the C half: loading the Python half takes 3 ms
import os
import select
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capadvise.model.recording import AuditDenial
    from capadvise.observe.audit.records import Record
    from capadvise.observe.tracking.tasks import Scope

_NETLINK_AUDIT, _GROUP_READLOG = 9, 1  # linux/netlink.h, linux/audit.h: a mask of groups
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_MOST = 4096
"""The most records that are kept for one target."""
_LATE_ROUNDS = 5
"""Rounds for which a record of an unknown process is kept: its fork may not have been read yet."""


class AuditListener:
    """Reads audit records, and keeps those of a target."""

    def __init__(self, audit: _socket.socket) -> None:
        self._socket = audit
        self._kept: dict[int, list[Record]] = {}
        self._waiting: list[tuple[int, Record]] = []

    @classmethod
    def open(cls) -> AuditListener | None:
        """Listen; None if the kernel sends us no records."""
        # A socket can be opened in each network namespace, but records go to the first one alone
        # (kernel/audit.c, kauditd_send_multicast_skb). Only that one has these settings
        # (net/core/sysctl_net_core.c, net_core_table).
        if not os.path.exists("/proc/sys/net/core/netdev_budget"):
            return None
        try:
            audit = _socket.socket(
                _socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, _NETLINK_AUDIT
            )
        except OSError:
            return None
        try:
            audit.setblocking(False)
            with suppress(OSError):
                audit.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, 1 << 20)
            audit.bind((0, _GROUP_READLOG))
        except OSError:
            audit.close()
            return None
        return cls(audit)

    @property
    def fd(self) -> int:
        """Readable when there is news."""
        return self._socket.fileno()

    def records(self, most: int) -> list[Record]:
        """The new records of the whole machine; some may have been lost."""
        records: list[Record] = []
        with suppress(OSError):  # nothing more, or records were lost: the kernel says so by ENOBUFS
            while len(records) < most:
                if record := _record(self._socket.recv(1 << 16)):
                    records.append(record)
        return records

    def read(self, scope_of: Callable[[int], Scope | None]) -> None:
        """Read new records; ``scope_of`` gives the target that a process belongs to."""
        self._waiting += [(_LATE_ROUNDS, record) for record in self.records(_MOST)]
        waiting, self._waiting = self._waiting, []
        for rounds, record in waiting:
            pid = record.fields.get("pid", "")
            scope = scope_of(int(pid)) if pid.isdecimal() and len(pid) < 11 else None
            if scope is not None:
                kept = self._kept.setdefault(scope.number, [])
                if len(kept) < _MOST:
                    kept.append(record)
            elif rounds:
                self._waiting.append((rounds - 1, record))

    def wait(self, seconds: float) -> None:
        """Wait until there is something to read, at most ``seconds``."""
        select.select([self._socket], [], [], seconds)

    def denials(self, scope: Scope) -> tuple[AuditDenial, ...]:
        """The refusals to a target that were read so far."""
        records = self._kept.get(scope.number, [])
        if not records:
            return ()
        from capadvise.catalog import default  # seldom needed, and not before the target's start
        from capadvise.observe.audit.denials import counted, denials

        return counted(denials(records, default().syscalls))

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


def _record(message: bytes) -> Record | None:
    if len(message) < _HEADER.size:
        return None
    from capadvise.observe.audit.records import parse_line  # seldom needed, and slow to load

    length, kind, *_ = _HEADER.unpack_from(message)
    text = message[_HEADER.size : max(length, _HEADER.size)].rstrip(b"\0\n")
    return parse_line(f"type={kind} msg={text.decode(errors='backslashreplace')}")
