"""Judges if a need could be met in the target's own user namespace, such as a rootless container's.
Pure.

Three things decide: the user namespace that the kernel checks against, which is the machine's or
the owner of the object (the site rule's scope); the owner of that object here (the network
namespace of the container or of the host); and the arguments of the call (a file system, a socket
option, an id). A trial there says more: ``capadvise prove --userns``.
"""

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
    """The user namespace in which a need can be met."""

    USER_NAMESPACE = "user-namespace"
    """One of the target's own, with the other namespaces that containers have."""
    HOST = "host"
    """Only the machine's, or one that owns something of the machine's."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The place where a need can be met."""

    scope: NeedScope | None
    """None: only a trial can tell."""
    why: str = ""
    """The obstacle, or what is not known: ``mknod(2)``."""
    ids: int = 0
    """The number of ids that must be mapped, from 0 on."""
    lost: str = ""
    """The loss there, if programs usually work without."""
    where: str = ""
    """Follows ``why``, and is printed once for several: ``in the host's mount namespace``."""


@dataclass(frozen=True, slots=True)
class TargetActions:
    """Actions of the target that decide about other checks."""

    runtimes: frozenset[str] = frozenset()
    """Programs that made containers."""
    made: int = 0
    """Flags of the namespaces that it made: it does not own others that it enters."""
    mounts: bool = False
    """It mounted something; otherwise it owns no file system."""


_NOTHING = TargetActions()


@dataclass(frozen=True, slots=True)
class Fit:
    """The judgement on a whole set in a user namespace."""

    fits: bool | None
    ids: int
    """The number of ids that it takes, at least as many as engines map by default."""
    outside: tuple[tuple[Cap, str], ...]
    """(capability, why it cannot be met there)."""
    open: tuple[tuple[Cap, str], ...]
    """(capability, what only a trial can tell)."""
    without: tuple[tuple[Cap, str], ...] = ()
    """(capability that cannot be met there, what is lost): programs usually work without."""
    volumes: tuple[tuple[str, str], ...] = ()
    """(place, type) of volumes that cannot be mounted with other ids: nobody owns their files
    there."""


USUAL_IDS = 65_536
"""Ids that engines and Kubernetes map for a container."""
_NO_ID = (1 << 32) - 1
"""-1: "leave it as it is"."""
_IDS = frozenset(["uid", "gid", "ruid", "rgid", "euid", "egid", "suid", "sgid"])
_ID_MAPS = frozenset(["userns-map-uids", "userns-map-gids"])
"""Ids can only be mapped further if they are mapped themselves; those of /etc/subuid usually are
not."""
_LOOKS_ABSENT = "xattr-trusted-read"
"""Without it, the requested attributes look absent, and programs may go on."""
_FREEZING = "fs-freeze"
"""The kernel checks the owner of the file system; but no file system that could be mounted there
can be frozen."""
_OF_NETWORK = "CAP_NET_"
_NAMESPACE_OF = {
    **dict.fromkeys(("mount", "umount", "umount2", "fsopen", "fsmount", "fspick"), "mnt"),
    **dict.fromkeys(("move_mount", "open_tree", "mount_setattr", "pivot_root"), "mnt"),
    **dict.fromkeys(("sethostname", "setdomainname"), "uts"),
    "reboot": "pid",
}
"""Call → the namespace that it changes; the kernel checks the owner of that namespace."""
_OF_OWN_NAMESPACE = ("sethostname", "setdomainname", "umount", "umount2", "pivot_root", "unshare")
"""Calls that always check the owner of a namespace, whatever the call site."""
_OF_CAPABILITY = {"CAP_IPC_OWNER": "ipc"}
_OF_PROCESSES = frozenset(["CAP_KILL", "CAP_SYS_NICE", "CAP_SYS_PTRACE"])
"""Checked against the user namespace in which another process was started."""
_MAKES = "new-namespaces"
"""The rule about making namespaces."""
_IN_PROC = "proc-"
"""Begins the ids of rules about reading processes in /proc."""
_FLAGS = {
    "net": clone_flags.CLONE_NEWNET,
    "mnt": clone_flags.CLONE_NEWNS,
    "uts": clone_flags.CLONE_NEWUTS,
    "ipc": clone_flags.CLONE_NEWIPC,
}
_NAMES = {"net": "network", "mnt": "mount", "uts": "UTS", "ipc": "IPC", "pid": "process"}


def fit_of(proposal: Proposal, catalog: Catalog, posture: Posture) -> Fit:
    """Judge if the recommended set could be held in a user namespace of the target's own."""
    return fit_in(placements(proposal, catalog, posture), proposal.recommended)


def fit_in(places: Mapping[Cap, Placed], caps: CapSet) -> Fit:
    """Judge this set, from the places of its needs."""
    placed = [(cap, places[cap]) for cap in places if cap in caps]
    without = tuple((cap, where.lost) for cap, where in placed if where.lost)
    on_host = [one for one in placed if one[1].scope is NeedScope.HOST and not one[1].lost]
    outside = tuple((cap, where.why) for cap, where in on_host)
    doubtful = tuple((cap, where.why) for cap, where in placed if where.scope is None)
    ids = max((where.ids for _, where in placed), default=0)
    fits = False if outside else None if doubtful else True
    return Fit(fits, max(ids, USUAL_IDS), outside, doubtful, without)


def placements(proposal: Proposal, catalog: Catalog, posture: Posture) -> dict[Cap, Placed]:
    actions = _actions_of([item for need in proposal.needs for item in need.evidence])
    return {need.cap: place(need, catalog, posture, actions) for need in proposal.needs}


def _actions_of(evidence: Sequence[Judged]) -> TargetActions:
    pivots = (item.check for item in evidence if item.check.syscall == "pivot_root")
    made = 0
    mounts = any(item.rule is not None and item.rule.id in _MOUNTS for item in evidence)
    for item in evidence:
        if item.rule is not None and item.rule.id == _MAKES:
            made |= dict(item.check.args).get("flags", clone_flags.ALL)
    return TargetActions(frozenset(check.program for check in pivots), made, mounts)


def place(
    need: Need, catalog: Catalog, posture: Posture, actions: TargetActions = _NOTHING
) -> Placed:
    """Place a need. The checks that make it a need decide, and the worst of them."""
    strongest = max((item.effect for item in need.evidence), default=None)
    deciding = [item for item in need.evidence if item.effect == strongest]
    if not deciding:  # a program only sets it (capset): the kernel made no check
        return Placed(NeedScope.USER_NAMESPACE)
    inside = _perhaps_inside(posture, actions.made)
    return _worst(
        [
            _by_actions(item, actions, catalog.signs, posture)
            or _place_or_loss(item, need.cap, catalog, inside)
            for item in deciding
        ]
    )


def _perhaps_inside(posture: Posture, made: int) -> Posture:
    """If the target made namespaces of its own (``unshare -m mount …``), a call may have been about
    these or about the host's."""
    kinds = [kind for kind, flag in _FLAGS.items() if made & flag]
    on_host = [kind for kind in kinds if posture.namespaces.get(kind) is Sharing.HOST]
    unknown = dict.fromkeys(on_host, Sharing.UNKNOWN)
    return replace(posture, namespaces={**posture.namespaces, **unknown})


def _by_actions(
    judged: Judged, actions: TargetActions, signs: Signs, posture: Posture
) -> Placed | None:
    """runc and crun behave differently in a user namespace: they mount the host's device nodes, and
    leave the control group of devices alone. Other programs enter a namespace, or watch a file
    system, that they do not own."""
    rule = judged.rule.id if judged.rule else ""
    if rule == "mknod" and judged.check.program in actions.runtimes:
        return Placed(NeedScope.HOST, lost="separate device nodes for its containers")
    if rule == "cgroup-devices" and actions.runtimes:
        return Placed(NeedScope.HOST, lost="limits on the devices of its containers")
    check = judged.check
    flag = next((signs.entered[name] for name in check.site if name in signs.entered), 0)
    of_target = check.ns is Namespace.TARGET and not _was_granted_there(check, posture)
    if flag & ~actions.made and of_target:
        return Placed(NeedScope.HOST, "entering a namespace that other processes made")
    if of_target and not actions.mounts and _marks(check) == _MARK_FILE_SYSTEM:
        return Placed(NeedScope.HOST, "watching a file system that other processes mounted")
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


def _of_capability(cap: Cap, catalog: Catalog) -> Placed:
    """Place a need by its capability alone, if no call site is known."""
    entry = catalog.entry(cap)
    said = entry.user_namespace if entry else ""
    if said.startswith("No"):
        return Placed(NeedScope.HOST, "whatever its use")
    return Placed(
        NeedScope.USER_NAMESPACE if said.startswith("Yes") else None, "its use is unknown"
    )


def _place_or_loss(judged: Judged, cap: Cap, catalog: Catalog, posture: Posture) -> Placed:
    """Place one check. An optional one that fails there is a loss."""
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
        return Placed(_of_capability(cap, catalog).scope, call)
    if _maps_unknown_ids(judged):
        return Placed(None, f"{call}: the ids that it maps are unknown")
    match _scope(judged, catalog):
        case NamespaceScope.INITIAL:
            return Placed(NeedScope.HOST, call)
        case NamespaceScope.OWNER if cap.name in _OF_PROCESSES:
            return _of_process(judged, call, posture)
        case NamespaceScope.OWNER:
            return _with_owner(check, call, posture)
    nowhere = _of_capability(cap, catalog).scope is NeedScope.HOST
    return Placed(NeedScope.HOST if nowhere else None, call)


def _maps_unknown_ids(judged: Judged) -> bool:
    mapping = judged.rule is not None and judged.rule.id in _ID_MAPS
    return mapping and not _ids(judged.check.args)


def _scope(judged: Judged, catalog: Catalog) -> NamespaceScope | None:
    """The user namespace that this check was made against; None if nothing tells."""
    check, rule = judged.check, judged.rule.id if judged.rule else ""
    scope = catalog.sites.scope(check.cap, check.site)
    if scope is NamespaceScope.BOTH:
        return _checked_namespace(check, rule, catalog.signs)
    if rule == _FREEZING:
        return NamespaceScope.INITIAL
    if scope is NamespaceScope.INITIAL and any(map(catalog.signs.is_of_overlay, check.site)):
        return NamespaceScope.OWNER  # an overlay that is mounted there needs no check of the host
    return None if rule.startswith(_LOOKS_ABSENT) else scope


def _was_granted_there(check: Check, posture: Posture) -> bool:
    """It ran in a user namespace of its own, and the check succeeded."""
    inside = posture.namespaces.get("user") is Sharing.OWN
    return inside and check.granted and check.ns is Namespace.TARGET


def _with_owner(check: Check, call: str, posture: Posture) -> Placed:
    """The kernel checks the owner of an object, so its namespace decides."""
    kind = "net" if check.cap.name.startswith(_OF_NETWORK) else _OF_CAPABILITY.get(check.cap.name)
    kind = kind or _NAMESPACE_OF.get(check.syscall or "")
    match posture.namespaces.get(kind, Sharing.UNKNOWN) if kind else Sharing.OWN:
        case Sharing.HOST:
            where = f" in the host's {_NAMES[kind or '']} namespace"
            return Placed(NeedScope.HOST, call, where=where)
        case Sharing.UNKNOWN:
            return Placed(
                None, call, where=f": the owner of the {_NAMES[kind or '']} namespace is unknown"
            )
    return Placed(NeedScope.USER_NAMESPACE, ids=_ids(check.args))


def _of_process(judged: Judged, call: str, posture: Posture) -> Placed:
    """The other process can belong to the host if the target sees those."""
    check = judged.check
    shown = posture.namespaces.get("pid", Sharing.UNKNOWN)
    foreign = dict(check.args).get("foreign")
    if shown is Sharing.OWN or foreign == 0:
        return Placed(NeedScope.USER_NAMESPACE)
    if shown is Sharing.HOST and (foreign or check.origin is Origin.HOLDER):
        return Placed(NeedScope.HOST, f"{call} of a process of the host")
    if shown is Sharing.HOST and judged.rule is not None and judged.rule.id.startswith(_IN_PROC):
        return Placed(NeedScope.HOST, "inspecting processes of the host")
    return Placed(None, f"{call}: the owner of the process is unknown")


def _ids(args: Iterable[tuple[str, int]]) -> int:
    named = (value & _NO_ID for name, value in args if name in _IDS)
    return max((value + 1 for value in named if value != _NO_ID), default=0)


# ------------------------------------------------------------------ either of two namespaces


_MOUNTABLE = frozenset(
    [
        *("binder", "binfmt_misc", "cgroup2", "cpuset", "devpts", "fuse", "mqueue", "overlay"),
        *("proc", "ramfs", "sysfs", "tmpfs"),
    ]
)
"""File systems with FS_USERNS_MOUNT that programs could mount there without help (Linux 6.18). Only
the machine's root may mount others."""
_FILE_SYSTEMS = "file system "
"""Begins the detail of a check if the types are known."""
_NO_TYPES = frozenset(["none", "bind", "rbind", "move", "remount"])
"""Types that programs pass when they mount nothing new."""
_MOUNTS = frozenset(["mount", "mount-superblock", "fsmount", "mount-reconfigure"])
"""Rules about mounts whose scope depends on the type of the file system."""
_FANOTIFY = "fanotify"
_MARK_TYPE, _MARK_FILE_SYSTEM = 0x110, 0x100
"""FAN_MARK_MOUNT | FAN_MARK_FILESYSTEM: neither is set for a file or a folder, which any user may
watch. From Linux 6.16 the kernel checks the file system's owner, before that the machine's
(do_fanotify_mark() of fs/notify/fanotify/fanotify_user.c)."""
_REPORTS_IDS = 0x5E00
"""FAN_REPORT_FID, _DIR_FID, _NAME, _TARGET_FID, _MNT: one of these makes a group that any user may
have …"""
_ADMIN_GROUP = 0x21BC
"""… but not with FAN_CLASS_CONTENT, _PRE_CONTENT, FAN_UNLIMITED_QUEUE, _MARKS, FAN_REPORT_PIDFD,
_TID, _FD_ERROR (FANOTIFY_ADMIN_INIT_FLAGS)."""
_SAME_FILE_SYSTEM = 0x1000 | 0x2000 | 0x20000 | 0x40000 | 0x80000 | 0x100000
"""MS_BIND, MS_MOVE, MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED: mounts nothing new."""
_HOST_OPTIONS = frozenset([1, 32, 33, 46, 69, 70])
"""SO_DEBUG, SO_SNDBUFFORCE, SO_RCVBUFFORCE, and the three of busy polling: sk_setsockopt() calls
capable()."""
_SOCKET_OPTION = "sockopt-admin"


def _checked_namespace(check: Check, rule: str, signs: Signs) -> NamespaceScope | None:
    """The user namespace that a check of ``BOTH`` was made against, by the call's arguments; None
    if nothing tells. ``rule``: the id of the check's site rule."""
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
    if rule in _MOUNTS:
        if check.syscall == "mount" and args.get("flags", 0) & _SAME_FILE_SYSTEM:
            return NamespaceScope.OWNER
        return _by_types(check.detail or "")
    return None


def _by_types(detail: str) -> NamespaceScope | None:
    """Judge a mount by the types of its file systems."""
    if not detail.startswith(_FILE_SYSTEMS):
        return None
    named = detail.removeprefix(_FILE_SYSTEMS).split(", ")
    kinds = [kind for kind in named if kind not in _NO_TYPES]
    known = all(kind.partition(".")[0] in _MOUNTABLE for kind in kinds)
    return NamespaceScope.OWNER if known else NamespaceScope.INITIAL


def _by_flags(check: Check) -> NamespaceScope | None:
    """Judge a call of fanotify by its flags: any user may have some groups and marks."""
    flags = dict(check.args).get("flags")
    if check.syscall != "fanotify_init" or flags is None:
        return NamespaceScope.OWNER if _marks(check) == 0 else None
    for_all = flags & _REPORTS_IDS and not flags & _ADMIN_GROUP
    return NamespaceScope.OWNER if for_all else NamespaceScope.INITIAL


def _marks(check: Check) -> int | None:
    """The type bits of a call of fanotify_mark(2)."""
    flags = dict(check.args).get("flags")
    return flags & _MARK_TYPE if check.syscall == "fanotify_mark" and flags is not None else None
