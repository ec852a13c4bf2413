"""A process, many of them, or an image, for people and for programs: ``inspect``. Pure."""

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from capadvise.catalog import Catalog, default
from capadvise.model.caps import NAMES, Cap, CapSet, names
from capadvise.model.escape import printable
from capadvise.model.image import ImageInspection, Riser
from capadvise.model.posture import Cgroup, Inspection, Mac, Posture, Root, Sharing
from capadvise.model.wording import counted, set_text
from capadvise.report.dump import as_json
from capadvise.report.lines import WIDTH, bullet, listed, paragraph

MAC_NAMES = {"apparmor": "AppArmor", "selinux": "SELinux", "smack": "Smack"}

SCHEMA = "capadvise.inspect/1"
_ALL = frozenset(Cap(number) for number in range(len(NAMES)))
_FEW = 4
_CALLS = "System calls"
_SETS = ("effective", "permitted", "bounding", "inheritable", "ambient")


def dump_inspection(item: Inspection) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "pid": item.pid,
        "program": item.program,
        "argv": list(item.argv),
        "container": item.container,
        "capabilities": {
            **{name: names(getattr(item.sets, name)) for name in _SETS},
            "of_setuid_root": names(item.of_setuid_root),
        },
        "posture": as_json(item.posture),
        "closed": None
        if item.closed is None
        else [{"syscall": call, "opens": names(caps)} for call, caps in item.closed],
        "unread": list(item.unread),
    }


def inspection_text(item: Inspection, catalog: Catalog) -> Iterator[str]:
    """One process, at 80 columns."""
    posture = item.posture
    where = f" in {printable(item.container)}" if item.container else ""
    yield f"{printable(item.program)}, process {item.pid}{where}"
    command = printable(shlex.join(item.argv))
    if command and command != item.program:
        yield f"  {command if len(command) <= WIDTH - 2 else command[: WIDTH - 3] + '…'}"
    if posture.sandbox:
        yield from paragraph(catalog.texts["sandboxes"].get(posture.sandbox, posture.sandbox))
    yield ""
    yield "User"
    yield from paragraph(_user(posture))
    yield "Capabilities"
    yield from _sets(item, catalog)
    for heading, lines in restraints(posture):
        yield heading
        for line in lines:
            yield from bullet(line.text) if line.hangs else paragraph(line.text)
        if heading == _CALLS:
            yield from _closed(item)
    if item.unread:
        yield "Not readable"
        for text in item.unread:
            yield from bullet(text)


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence of what restrains a process; not wrapped."""

    text: str
    hangs: bool = False
    """It hangs from a dot."""


def restraints(posture: Posture) -> Iterator[tuple[str, tuple[Line, ...]]]:
    """The restraints of a process other than its user and its capabilities: headings, and the lines
    below them."""
    yield _CALLS, (Line(_seccomp(posture)),)
    yield "Namespaces", tuple(_namespaces(posture))
    yield "Control group", (Line(_cgroup(posture.cgroup)),)
    yield "Root file system", tuple(_root(posture.root))
    yield "Mandatory access control", (Line(_mac(posture.mac)),)


def _user(posture: Posture) -> str:
    user = posture.user
    if user is None:
        return "not known"
    groups = [str(group) for group in user.groups if group != user.gid]
    more = f", also in group {listed(groups)}" if groups else ""
    text = f"uid {user.uid}, gid {user.gid}{more}"
    own = posture.namespaces.get("user") is Sharing.OWN
    if own and user.host_uid is not None:
        text += f"; outside of its user namespace it is uid {user.host_uid}"
    elif user.uid == 0 and posture.namespaces.get("user") is Sharing.HOST:
        text += ": root of the host"
    return f"{text}{'; rootless' if user.rootless else ''}"


def _sets(item: Inspection, catalog: Catalog) -> Iterator[str]:
    shown: dict[CapSet, str] = {}
    for name in _SETS:
        caps = getattr(item.sets, name)
        text = f"as {shown[caps]}" if caps in shown and caps else caps_text(caps, catalog)
        shown.setdefault(caps, name)
        yield from bullet(text, mark=f"{name:11}")
    posture = item.posture
    gained = item.of_setuid_root - item.sets.permitted
    if posture.no_new_privs:
        yield from paragraph(
            "no_new_privs is set: set-user-ID programs and file capabilities add nothing."
        )
    elif gained:
        yield from paragraph(
            f"no_new_privs is not set: a set-user-ID root program would add "
            f"{caps_text(gained, catalog)}."
        )
    elif posture.no_new_privs is not None:
        yield from paragraph(
            "no_new_privs is not set, but a set-user-ID root program would add nothing."
        )
    if posture.securebits is not None:
        yield from paragraph(f"securebits: {listed(posture.securebits) or 'none set'}.")


def caps_text(caps: CapSet, catalog: Catalog) -> str:
    """``nothing``, ``all 41``, ``all but SYS_RESOURCE``, or the names and whose default it is."""
    missing = _ALL - caps
    if not caps:
        return "nothing"
    if len(missing) <= 8:
        but = listed([cap.short for cap in sorted(missing)])
        return f"all but {but}" if missing else f"all {len(caps)}"
    text = f"{len(caps)}: {set_text(caps)}"
    runtimes = catalog.baselines.runtimes
    if whose := [runtime.name for runtime in runtimes if runtime.grants == caps]:
        return f"{text} (the default of {listed(whose)})"
    for runtime in runtimes:
        added = caps - runtime.grants
        if runtime.grants < caps and len(added) <= _FEW:
            more = listed([cap.short for cap in sorted(added)])
            return f"{text} (the default of {runtime.name}, and {more})"
    return text


def _seccomp(posture: Posture) -> str:
    seccomp = posture.seccomp
    if seccomp is None:
        return "whether a seccomp filter applies is unknown"
    if seccomp.mode == "off":
        return "no seccomp filter"
    if seccomp.mode == "strict":
        return "seccomp strict mode: only read, write and exit are allowed"
    several = (seccomp.filters or 1) > 1
    who = f"{seccomp.filters} seccomp filters decide" if several else "a seccomp filter decides"
    return f"{who} before the kernel does"


def _closed(item: Inspection) -> Iterator[str]:
    if item.closed is None:
        return
    if not item.closed:
        yield from paragraph("It refuses no call that the granted capabilities allow.")
        return
    yield from paragraph("It refuses these calls, although the granted capabilities allow them:")
    by_caps: dict[CapSet, list[str]] = {}
    for call, caps in item.closed:
        by_caps.setdefault(caps, []).append(call)
    for caps, calls in by_caps.items():
        yield from bullet(f"{listed([cap.short for cap in sorted(caps)], 'or')}: {listed(calls)}")


def _namespaces(posture: Posture) -> Iterator[Line]:
    shared, plain = posture.namespaces, default().texts["namespaces"]
    own = [plain[name] for name, whose in shared.items() if whose is Sharing.OWN]
    unknown = [plain[name] for name, whose in shared.items() if whose is Sharing.UNKNOWN]
    yield Line(f"its own: {listed(own) or 'none'}")
    if unknown:
        yield Line(f"own or the host's, unknown which: {listed(unknown)}")
    hosts = [name for name, whose in shared.items() if whose is Sharing.HOST]
    if shared.get("user") is Sharing.OWN:
        with_it = listed([plain[name] for name in hosts]) or "none"
        yield Line(
            f"shared with the host: {with_it}. Its capabilities do not count there, only for "
            "what belongs to its own user namespace."
        )
        return
    consequences = default().texts["shared-namespaces"]
    for name in hosts:
        yield Line(f"{plain[name]}, the host's: {consequences[name]}", hangs=True)


def _cgroup(cgroup: Cgroup | None) -> str:
    if cgroup is None:
        return "not known"
    limits = ", ".join(f"{name} {value}" for name, value in sorted(cgroup.limits.items()))
    tree = {
        True: "its tree is writable: root inside can change limits",
        False: "its tree is read-only inside",
        None: "whether its tree is writable is unknown",
    }[cgroup.writable]
    if cgroup.writable and cgroup.version != "v2":
        tree += ", and with SYS_ADMIN run programs on the host (release_agent)"
    return printable(f"{cgroup.version}, {cgroup.path}; {tree}; limits: {limits or 'none'}")


def _root(root: Root | None) -> Iterator[Line]:
    if root is None:
        yield Line("not known")
        return
    layers = f" of {counted(root.layers, 'layer')}" if root.layers else ""
    whose = "the host's own, " if root.host else ""
    if root.host is None and root.type != "overlay":
        whose = "the host's own or another, unknown which: "
    rights = "read-only" if root.read_only else "writable"
    yield Line(f"{whose}{printable(root.type)}{layers}, {rights}")
    for mount in root.exposed:
        how = "" if mount.writable else ", read-only"
        source = "" if mount.source in (mount.target, mount.kind) else f" ({mount.source})"
        what = default().texts["exposed-mounts"].get(mount.kind, mount.kind)
        yield Line(printable(f"{mount.target}{source}{how}: {what}"), hangs=True)
    if not root.exposed and not root.host:
        yield Line("nothing dangerous of the host is mounted")


def _mac(mac: Mac | None) -> str:
    if mac is None:
        return "none: not confined by AppArmor, SELinux or Smack"
    mode = f" ({mac.mode})" if mac.mode and mac.mode != mac.label else ""
    return printable(f"{MAC_NAMES.get(mac.module, mac.module)}, {mac.label}{mode}")


_SERVICE = ".service"


def table(items: Iterable[Inspection], catalog: Catalog) -> Iterator[str]:
    """Many processes, a line each."""
    yield (
        f"{'PID':>7} {'USER':>6} {'PROGRAM':16} {'SECCOMP':8} {'OWN NAMESPACES':24} {'UNIT':16} "
        "CAPABILITIES"
    )
    for item in items:
        posture = item.posture
        own = [name for name, whose in posture.namespaces.items() if whose is Sharing.OWN]
        unknown = all(whose is Sharing.UNKNOWN for whose in posture.namespaces.values())
        user = None
        if posture.user:
            user = posture.user.uid if posture.user.host_uid is None else posture.user.host_uid
        seccomp = posture.seccomp.mode if posture.seccomp else "?"
        yield (
            f"{item.pid:7} {'?' if user is None else user:>6} {printable(item.program):16.16} "
            f"{seccomp:8} {'?' if unknown else ','.join(own) or '-':24} "
            f"{_unit(posture):16} "
            f"{_short_sets(item, catalog)}"
        )


def _unit(posture: Posture) -> str:
    """The service of systemd that it belongs to, of its control group: there are only slices above
    it."""
    path = posture.cgroup.path if posture.cgroup else ""
    below = [part for part in path.split("/") if part and not part.endswith(".slice")]
    return (
        printable(below[0].removesuffix(_SERVICE)) if below and below[0].endswith(_SERVICE) else "-"
    )


def _short_sets(item: Inspection, catalog: Catalog) -> str:
    caps = item.sets.permitted
    gained = item.of_setuid_root - caps
    missing = _ALL - caps
    runtimes = [r.name for r in catalog.baselines.runtimes if r.grants == caps and caps]
    if len(missing) <= 3:
        text = f"all {len(caps)}" if not missing else f"all but {_list(missing)}"
    elif runtimes:
        text = f"{runtimes[0]}'s {len(caps)}"
    else:
        text = _list(caps) if len(caps) <= 4 else f"{len(caps)} of them"
    more = f"; {len(gained)} more by a set-user-ID program" if gained else ""
    return f"{text or 'none'}{more}"


def _list(caps: CapSet) -> str:
    return ",".join(cap.short for cap in sorted(caps))


IMAGE_SCHEMA = "capadvise.inspect.image/1"


def dump_image(item: ImageInspection) -> dict[str, Any]:
    raw = as_json(item)
    return {"schema": IMAGE_SCHEMA, "image": raw.pop("name"), **raw}


def image_text(item: ImageInspection) -> Iterator[str]:
    """One image, at 80 columns."""
    yield f"{printable(item.name)}, image of {item.engine}, {counted(item.layers, 'layer')}"
    yield ""
    yield "User"
    root = item.user.partition(":")[0] in ("", "0", "root")
    yield from paragraph(
        f"{printable(item.user) or 'not set'}: it runs as root, with the runtime's set"
        if root
        else f"{printable(item.user)}: it does not start with the runtime's set, but a program "
        "that grants privileges can give it"
    )
    yield "Command"
    yield from paragraph(printable(shlex.join(item.argv)) or "not set")
    for head, texts in (
        ("Ports", item.ports),
        ("Volumes", item.volumes),
        ("Healthcheck", (shlex.join(item.healthcheck),) if item.healthcheck else ()),
    ):
        if texts:
            yield head
            yield from paragraph(printable(listed(list(texts))))
    yield "Programs that grant privileges"
    for riser in item.risers:
        yield from bullet(_riser(riser))
    if item.risers:
        yield from paragraph("no_new_privs (no-new-privileges) disables all of them.")
    else:
        yield from paragraph("none: no set-user-ID programs, no file capabilities")
    if item.unread:
        yield "Not readable"
        for text in item.unread:
            yield from bullet(printable(text))


def _riser(riser: Riser) -> str:
    rights = []
    if riser.set_uid is not None:
        rights.append(f"runs as uid {riser.set_uid}")
    if riser.set_gid is not None:
        rights.append(f"runs with gid {riser.set_gid}")
    if riser.caps:
        rights.append(f"holds {listed([cap.short for cap in sorted(riser.caps)])}")
    return f"{printable(riser.path)} (layer {riser.layer}): {listed(rights)}"
