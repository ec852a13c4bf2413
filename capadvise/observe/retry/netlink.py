"""Which capability a netlink request wants. Pure.

The refusal travels inside the kernel's answer, so that no call fails. But for the generic family,
the kernel decides by the protocol and the type of the message alone, which is what is done here
(rtnetlink_rcv_msg, nfnetlink_rcv, xfrm_user_rcv_msg, audit_netlink_ok; Linux 5.10 to 7.2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

ROUTE, XFRM, AUDIT, NETFILTER = 0, 6, 9, 12
_HEADER = struct.Struct("=IHHII")
_NAMES = {16: "NEWLINK", 20: "NEWADDR", 24: "NEWROUTE", 28: "NEWNEIGH", 32: "NEWRULE"}
_NAMES |= {36: "NEWQDISC", 40: "NEWTCLASS", 44: "NEWTFILTER"}
_VERBS = ("NEW", "DEL", "GET", "SET")


def wanted(protocol: int, message: bytes) -> tuple[str, str] | None:
    """(capability without CAP_, what for) of the first message of a request that wants one."""
    for kind in _types(message):
        if protocol == ROUTE and kind >= 16 and kind % 4 != 2:
            name = _NAMES.get(kind - kind % 4, "")
            return "NET_ADMIN", "RTM_" + (_VERBS[kind % 4] + name[3:] if name else str(kind))
        if protocol in (NETFILTER, XFRM) and kind >= 16:
            return "NET_ADMIN", "netfilter" if protocol == NETFILTER else "IPsec"
        if protocol == AUDIT and kind >= 1000:
            user = 1100 <= kind < 1200 or 2100 <= kind < 3000 or kind == 1005
            return ("AUDIT_WRITE" if user else "AUDIT_CONTROL"), f"audit message {kind}"
    return None


def _types(message: bytes) -> Iterator[int]:
    at = 0
    while at + _HEADER.size <= len(message):
        length, kind, *_ = _HEADER.unpack_from(message, at)
        yield kind
        if length < _HEADER.size:
            return
        at += (length + 3) & ~3
