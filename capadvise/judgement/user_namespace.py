"""Whether a need could be met in a user namespace of its own, such as a rootless container's. Pure.

Three things decide: whether the kernel asks about the machine's user namespace or about the one
that owns the object (the site rule's scope), whose that object is here (the network namespace of
the container or the host's), and what the call asks for (a file system, a socket option, an id).
A trial there says more: ``capadvise prove --userns``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from capadvise.catalog import Catalog
from capadvise.catalog.askers import NamespaceScope
from capadvise.catalog.signs import Sign, Signs
from capadvise.catalog.sites import Meaning
from capadvise.judgement.decide import Need, Proposal
from capadvise.judgement.judge import Judged
from capadvise.model import clone_flags
from capadvise.model.caps import Cap, CapSet
from capadvise.model.posture import Posture, Sharing
from capadvise.model.recording import Check, Namespace, Origin


class NeedScope(StrEnum):
    """In which user namespace a need can be met."""

    USER_NAMESPACE = "user-namespace"
    """In one of the target's own, with the namespaces that containers have besides."""
    HOST = "host"
    """In the machine's alone, or one that owns something of the machine's."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a need can be met."""

    scope: NeedScope | None
    """None: a trial has to tell."""
    why: str = ""
    """What stands in the way, or is not known: ``mknod(2)``."""
    ids: int = 0
    """So many ids must be mapped, from 0 on."""
    lost: str = ""
    """What is lost there, where programs usually go on without."""
    where: str = ""
    """Follows ``why``, and is said once of several: ``in the host's mount namespace``."""


@dataclass(frozen=True, slots=True)
class Doings:
    """What the target did besides, that decides about other checks."""

    runtimes: frozenset[str] = frozenset()
    """Programs that made containers."""
    made: int = 0
    """Flags of the namespaces that it made: others that it enters are not its own."""
    mounts: bool = False
    """It mounted something: who has not, has no file system of its own."""


_NOTHING = Doings()


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a whole set could be held in a user namespace."""

    fits: bool | None
    ids: int
    """So many ids it takes, at least as many as engines map by default."""
    outside: tuple[tuple[Cap, str], ...]
    """What cannot be met there, and why."""
    open: tuple[tuple[Cap, str], ...]
    """What only a trial can tell."""
    without: tuple[tuple[Cap, str], ...] = ()
    """What cannot be met there, and is lost: programs usually go on."""
    volumes: tuple[tuple[str, str], ...] = ()
    """(place, type) of those that cannot be mounted with other ids: their files are nobody's."""


USUAL_IDS = 65_536
"""Ids that engines and Kubernetes map for a container."""
_NO_ID = (1 << 32) - 1
"""-1: "leave it as it is"."""
_IDS = frozenset(["uid", "gid", "ruid", "rgid", "euid", "egid", "suid", "sgid"])
_ID_MAPS = frozenset(["userns-map-uids", "userns-map-gids"])
"""Ids that are mapped further must be mapped themselves: those of /etc/subuid usually are not."""
_LOOKS_ABSENT = "xattr-trusted-read"
"""Without it, the attributes that were asked for look absent, and programs may go on."""
_FREEZING = "fs-freeze"
"""Asks about the owner of the file system; but none that could be mounted there can be frozen."""
_OF_NETWORK = "CAP_NET_"
_NAMESPACE_OF = {
    **dict.fromkeys(("mount", "umount", "umount2", "fsopen", "fsmount", "fspick"), "mnt"),
    **dict.fromkeys(("move_mount", "open_tree", "mount_setattr", "pivot_root"), "mnt"),
    **dict.fromkeys(("sethostname", "setdomainname"), "uts"),
    "reboot": "pid",
}
"""Call → the namespace that it changes; the owner of that one is asked about."""
_OF_OWN_NAMESPACE = ("sethostname", "setdomainname", "umount", "umount2", "pivot_root", "unshare")
"""Calls of which it is always the owner of a namespace who is asked: no call site has to tell."""
_OF_CAPABILITY = {"CAP_IPC_OWNER": "ipc"}
_OF_PROCESSES = frozenset(["CAP_KILL", "CAP_SYS_NICE", "CAP_SYS_PTRACE"])
"""Asked of the user namespace in which another process was started."""
_MAKES = "new-namespaces"
"""The rule about making namespaces."""
_IN_PROC = "proc-"
"""What the rules are called by which a program looks into the processes that /proc shows."""
_FLAGS = {
    "net": clone_flags.CLONE_NEWNET,
    "mnt": clone_flags.CLONE_NEWNS,
    "uts": clone_flags.CLONE_NEWUTS,
    "ipc": clone_flags.CLONE_NEWIPC,
}
_NAMES = {"net": "network", "mnt": "mount", "uts": "UTS", "ipc": "IPC", "pid": "process"}


def fit_of(proposal: Proposal, catalog: Catalog, posture: Posture) -> Fit:
    """Whether the recommended set could be held in a user namespace of the target's own."""
    return fit_in(placements(proposal, catalog, posture), proposal.recommended)


def fit_in(places: Mapping[Cap, Placed], caps: CapSet) -> Fit:
    """Whether this set could be."""
    placed = [(cap, places[cap]) for cap in places if cap in caps]
    without = tuple((cap, where.lost) for cap, where in placed if where.lost)
    on_host = [one for one in placed if one[1].scope is NeedScope.HOST and not one[1].lost]
    outside = tuple((cap, where.why) for cap, where in on_host)
    doubtful = tuple((cap, where.why) for cap, where in placed if where.scope is None)
    ids = max((where.ids for _, where in placed), default=0)
    fits = False if outside else None if doubtful else True
    return Fit(fits, max(ids, USUAL_IDS), outside, doubtful, without)


def placements(proposal: Proposal, catalog: Catalog, posture: Posture) -> dict[Cap, Placed]:
    """Where each need can be met."""
    doings = _doings([item for need in proposal.needs for item in need.evidence])
    return {need.cap: place(need, catalog, posture, doings) for need in proposal.needs}


def _doings(evidence: Sequence[Judged]) -> Doings:
    pivots = (item.check for item in evidence if item.check.syscall == "pivot_root")
    made = 0
    mounts = any(item.rule is not None and item.rule.id in MOUNTS for item in evidence)
    for item in evidence:
        if item.rule is not None and item.rule.id == _MAKES:
            made |= dict(item.check.args).get("flags", clone_flags.ALL)
    return Doings(frozenset(check.program for check in pivots), made, mounts)


def place(need: Need, catalog: Catalog, posture: Posture, doings: Doings = _NOTHING) -> Placed:
    """Where a need can be met: the checks that make it one decide, and the worst of them."""
    strongest = max((item.effect for item in need.evidence), default=None)
    deciding = [item for item in need.evidence if item.effect == strongest]
    if not deciding:  # it is to be held, as by a program that sets its own: nobody was asked
        return Placed(NeedScope.USER_NAMESPACE)
    inside = _perhaps_inside(posture, doings.made)
    return _worst(
        [
            _by_doings(item, doings, catalog.signs, posture)
            or place_of_check(item, need.cap, catalog, inside)
            for item in deciding
        ]
    )


def _perhaps_inside(posture: Posture, made: int) -> Posture:
    """Of namespaces of the host it is not known whether a call was about them, where the target
    made such ones for itself (``unshare -m mount …``)."""
    kinds = [kind for kind, flag in _FLAGS.items() if made & flag]
    on_host = [kind for kind in kinds if posture.namespaces.get(kind) is Sharing.HOST]
    unknown = dict.fromkeys(on_host, Sharing.UNKNOWN)
    return replace(posture, namespaces={**posture.namespaces, **unknown})


def _by_doings(judged: Judged, doings: Doings, signs: Signs, posture: Posture) -> Placed | None:
    """What runc and crun do otherwise in a user namespace: they mount the host's device nodes, and
    leave the control group of devices alone. And who enters a namespace, or watches a file system,
    that is not its own."""
    rule = judged.rule.id if judged.rule else ""
    if rule == "mknod" and judged.check.program in doings.runtimes:
        return Placed(NeedScope.HOST, lost="device nodes of its containers' own")
    if rule == "cgroup-devices" and doings.runtimes:
        return Placed(NeedScope.HOST, lost="limits on the devices of its containers")
    check = judged.check
    flag = next((signs.entered[name] for name in check.site if name in signs.entered), 0)
    of_target = check.ns is Namespace.TARGET and not _was_granted_there(check, posture)
    if flag & ~doings.made and of_target:
        return Placed(NeedScope.HOST, "entering a namespace that others made")
    if of_target and not doings.mounts and watches_file_system(check):
        return Placed(NeedScope.HOST, "watching a file system that others mounted")
    return None


def _worst(placed: Sequence[Placed]) -> Placed:
    ids = max(one.ids for one in placed)
    for scope in (NeedScope.HOST, None):
        whys: dict[str, dict[str, None]] = {}
        for one in placed:
            if one.scope is scope and not one.lost:
                whys.setdefault(one.where, {})[one.why] = None
        if whys:
            said = (f"{_listed([*why])}{where}" for where, why in whys.items())
            return Placed(scope, " and ".join(said), ids)
    lost = dict.fromkeys(one.lost for one in placed)
    if "" not in lost:  # else a part of it counts there
        return Placed(NeedScope.HOST, ids=ids, lost=" and ".join(lost))
    return Placed(NeedScope.USER_NAMESPACE, ids=ids)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def of_capability(cap: Cap, catalog: Catalog) -> Placed:
    """As far as the capability tells by itself, where no call site is known."""
    entry = catalog.entry(cap)
    said = entry.user_namespace if entry else ""
    if said.startswith("No"):
        return Placed(NeedScope.HOST, "whatever it is used for")
    return Placed(
        NeedScope.USER_NAMESPACE if said.startswith("Yes") else None, "what it is used for"
    )


def place_of_check(judged: Judged, cap: Cap, catalog: Catalog, posture: Posture) -> Placed:
    """Where one check can be answered with yes."""
    where = _place_of_check(judged, cap, catalog, posture)
    rule = judged.rule
    if where.scope is not NeedScope.HOST or rule is None or rule.meaning is not Meaning.OPTIONAL:
        return where
    of_it = rule.caps is None or cap in rule.caps
    return replace(where, lost=rule.lost or rule.text) if of_it else where


def _place_of_check(judged: Judged, cap: Cap, catalog: Catalog, posture: Posture) -> Placed:
    check = judged.check
    call = f"{check.syscall}(2)" if check.syscall else f"a {check.call}"
    if check.ns is Namespace.HOST:
        return Placed(NeedScope.HOST, call)
    if check.ns is Namespace.CHILD or _was_granted_there(check, posture):
        return Placed(NeedScope.USER_NAMESPACE)
    if check.origin is Origin.HOLDER:
        return _of_process(judged, call, posture)
    if check.retried is not None or check.origin is not Origin.KERNEL:
        if check.syscall in _OF_OWN_NAMESPACE:
            return _with_owner(check, call, posture)
        return Placed(of_capability(cap, catalog).scope, call)
    if _maps_unknown_ids(judged):
        return Placed(None, f"{call}: which ids it maps")
    match _scope(judged, catalog):
        case NamespaceScope.INITIAL:
            return Placed(NeedScope.HOST, call)
        case NamespaceScope.OWNER if cap.name in _OF_PROCESSES:
            return _of_process(judged, call, posture)
        case NamespaceScope.OWNER:
            return _with_owner(check, call, posture)
    nowhere = of_capability(cap, catalog).scope is NeedScope.HOST
    return Placed(NeedScope.HOST if nowhere else None, call)


def _maps_unknown_ids(judged: Judged) -> bool:
    mapping = judged.rule is not None and judged.rule.id in _ID_MAPS
    return mapping and not _ids(judged.check.args)


def _scope(judged: Judged, catalog: Catalog) -> NamespaceScope | None:
    """Which user namespace this check asked about; None where nothing tells."""
    check, rule = judged.check, judged.rule.id if judged.rule else ""
    scope = catalog.sites.scope(check.cap, check.site)
    if scope is NamespaceScope.BOTH:
        return asked_about(check, rule, catalog.signs)
    if rule == _FREEZING:
        return NamespaceScope.INITIAL
    if scope is NamespaceScope.INITIAL and any(map(catalog.signs.is_of_overlay, check.site)):
        return NamespaceScope.OWNER  # an overlay that is mounted there does without
    return None if rule.startswith(_LOOKS_ABSENT) else scope


def _was_granted_there(check: Check, posture: Posture) -> bool:
    """It ran in a user namespace of its own, and got what it asked for."""
    inside = posture.namespaces.get("user") is Sharing.OWN
    return inside and check.granted and check.ns is Namespace.TARGET


def _with_owner(check: Check, call: str, posture: Posture) -> Placed:
    """The owner of an object is asked about: whose is it?"""
    kind = "net" if check.cap.name.startswith(_OF_NETWORK) else _OF_CAPABILITY.get(check.cap.name)
    kind = kind or _NAMESPACE_OF.get(check.syscall or "")
    match posture.namespaces.get(kind, Sharing.UNKNOWN) if kind else Sharing.OWN:
        case Sharing.HOST:
            where = f" in the host's {_NAMES[kind or '']} namespace"
            return Placed(NeedScope.HOST, call, where=where)
        case Sharing.UNKNOWN:
            return Placed(None, call, where=f": whose {_NAMES[kind or '']} namespace that is")
    return Placed(NeedScope.USER_NAMESPACE, ids=_ids(check.args))


def _of_process(judged: Judged, call: str, posture: Posture) -> Placed:
    """Of another process, which can be one of the host's where those are to be seen."""
    check = judged.check
    shown = posture.namespaces.get("pid", Sharing.UNKNOWN)
    foreign = dict(check.args).get("foreign")
    if shown is Sharing.OWN or foreign == 0:
        return Placed(NeedScope.USER_NAMESPACE)
    if shown is Sharing.HOST and (foreign or check.origin is Origin.HOLDER):
        return Placed(NeedScope.HOST, f"{call} of a process of the host")
    if shown is Sharing.HOST and judged.rule is not None and judged.rule.id.startswith(_IN_PROC):
        return Placed(NeedScope.HOST, "looking into processes of the host")
    return Placed(None, f"{call}: whose process that is")


def _ids(args: Iterable[tuple[str, int]]) -> int:
    named = (value & _NO_ID for name, value in args if name in _IDS)
    return max((value + 1 for value in named if value != _NO_ID), default=0)


_MOUNTABLE = frozenset(
    [
        *("binder", "binfmt_misc", "cgroup2", "cpuset", "devpts", "fuse", "mqueue", "overlay"),
        *("proc", "ramfs", "sysfs", "tmpfs"),
    ]
)
"""File systems with FS_USERNS_MOUNT that could be mounted there without help (Linux 6.18): others
are for the machine's root alone."""
_FILE_SYSTEMS = "file system "
"""What a check's detail begins with where the types are known."""
_NO_TYPES = frozenset(["none", "bind", "rbind", "move", "remount"])
"""What programs write for the type where there is nothing new to mount."""
MOUNTS = frozenset(["mount", "mount-superblock", "fsmount", "mount-reconfigure"])
"""Rules about mounts whose scope hangs on the type of the file system."""
_FANOTIFY = "fanotify"
_MARK_TYPE, _MARK_FILE_SYSTEM = 0x110, 0x100
"""FAN_MARK_MOUNT | FAN_MARK_FILESYSTEM: neither is set for a file or a folder, which any user may
watch; a file system's owner is asked from Linux 6.16, before that the machine's (do_fanotify_mark()
of fs/notify/fanotify/fanotify_user.c)."""
_REPORTS_IDS = 0x5E00
"""FAN_REPORT_FID, _DIR_FID, _NAME, _TARGET_FID, _MNT: one of these makes a group that any user may
have …"""
_ADMIN_GROUP = 0x21BC
"""… but not with FAN_CLASS_CONTENT, _PRE_CONTENT, FAN_UNLIMITED_QUEUE, _MARKS, FAN_REPORT_PIDFD,
_TID, _FD_ERROR (FANOTIFY_ADMIN_INIT_FLAGS)."""
_SAME_FILE_SYSTEM = 0x1000 | 0x2000 | 0x20000 | 0x40000 | 0x80000 | 0x100000
"""MS_BIND, MS_MOVE, MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED: mounts nothing new."""
_HOST_OPTIONS = frozenset([1, 32, 33, 46, 69, 70])
"""SO_DEBUG, SO_SNDBUFFORCE, SO_RCVBUFFORCE, and the three of busy polling: sk_setsockopt() asks
capable()."""
_SOCKET_OPTION = "sockopt-admin"


def asked_about(check: Check, rule: str, signs: Signs) -> NamespaceScope | None:
    """Which one; None where nothing tells. ``rule``: the id of the check's site rule."""
    if signs.shows(Sign.NETLINK_MACHINE, check.site):
        return NamespaceScope.INITIAL
    if signs.shows(Sign.NETLINK_OWNER, check.site):
        return NamespaceScope.OWNER
    args = dict(check.args)
    if rule == _FANOTIFY:
        return _by_flags(check)
    if rule == _SOCKET_OPTION and "name" in args:
        on_host = args.get("level", 1) == 1 and args["name"] in _HOST_OPTIONS
        return NamespaceScope.INITIAL if on_host else NamespaceScope.OWNER
    if rule in MOUNTS:
        if check.syscall == "mount" and args.get("flags", 0) & _SAME_FILE_SYSTEM:
            return NamespaceScope.OWNER
        return _by_types(check.detail or "")
    return None


def _by_types(told: str) -> NamespaceScope | None:
    """Of a mount: who may mount file systems of these types."""
    if not told.startswith(_FILE_SYSTEMS):
        return None
    named = told.removeprefix(_FILE_SYSTEMS).split(", ")
    kinds = [kind for kind in named if kind not in _NO_TYPES]
    known = all(kind.partition(".")[0] in _MOUNTABLE for kind in kinds)
    return NamespaceScope.OWNER if known else NamespaceScope.INITIAL


def _by_flags(check: Check) -> NamespaceScope | None:
    """Of a call of fanotify: who may have such a group, or such a mark."""
    flags = dict(check.args).get("flags")
    if check.syscall != "fanotify_init" or flags is None:
        return NamespaceScope.OWNER if _marks(check) == 0 else None
    for_all = flags & _REPORTS_IDS and not flags & _ADMIN_GROUP
    return NamespaceScope.OWNER if for_all else NamespaceScope.INITIAL


def watches_file_system(check: Check) -> bool:
    """Whether it is about watching a whole one (fanotify)."""
    return _marks(check) == _MARK_FILE_SYSTEM


def _marks(check: Check) -> int | None:
    """What a call of fanotify_mark(2) is about: the bits of its type."""
    flags = dict(check.args).get("flags")
    return flags & _MARK_TYPE if check.syscall == "fanotify_mark" and flags is not None else None
