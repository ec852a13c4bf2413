"""Capability sets in a workload's object: read, replaced, compared with the server's answer.
Pure."""

import copy
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from capadvise.model.caps import NAMES, Cap, CapSet
from capadvise.model.companion import CompanionKind
from capadvise.model.errors import BadInput
from capadvise.targets.kubernetes.objects import Object

_ALL = "ALL"
_FLAGS: dict[CompanionKind, tuple[str, Any]] = {
    CompanionKind.NO_NEW_PRIVS: ("allowPrivilegeEscalation", False),
    CompanionKind.SECCOMP: ("seccompProfile", {"type": "RuntimeDefault"}),
}
_EVERY = frozenset(map(Cap, range(len(NAMES))))


def with_sets(
    spec: Object, sets: Mapping[str, CapSet], flags: Collection[CompanionKind] = ()
) -> Object:
    """A pod's specification in which containers have these sets, with ``flags`` beside them, and
    are not privileged. Raises BadInput for a missing container."""
    changed = copy.deepcopy(spec)
    there = {one["name"]: one for one in containers(changed)}
    if missing := sorted(set(sets) - set(there)):
        raise BadInput(
            f"it has no container {missing[0]}", hint=f"there are: {', '.join(sorted(there))}"
        )
    for name, caps in sets.items():
        add = [_ALL] if caps >= _EVERY else [cap.short for cap in sorted(caps)]
        context = dict(there[name].get("securityContext") or {})
        if context.get("allowPrivilegeEscalation") is False and Cap.parse("SYS_ADMIN") in caps:
            del context["allowPrivilegeEscalation"]  # the server refuses the two together
        there[name]["securityContext"] = context | {
            **{key: value for kind, (key, value) in _FLAGS.items() if kind in flags},
            "privileged": False,
            "capabilities": {"drop": [_ALL], "add": add} if add != [_ALL] else {"add": add},
        }
    return changed


def containers(spec: Object) -> Iterator[Object]:
    """All of a pod, as it is declared."""
    for kind in ("initContainers", "containers"):
        yield from spec.get(kind) or ()


def granted(container: Object, default: CapSet, everything: CapSet) -> CapSet:
    """The set that a container gets. ``default``: the runtime's."""
    context = container.get("securityContext") or {}
    if context.get("privileged"):
        return everything
    capabilities = context.get("capabilities") or {}
    drop, add = (_parsed(capabilities.get(key) or (), everything) for key in ("drop", "add"))
    # Runtimes drop a capability that both lists name; after dropping ALL, they add only those that
    # are named.
    if _ALL in map(str.upper, capabilities.get("drop") or ()):
        return add
    return (default | add) - drop


def _parsed(names: object, everything: CapSet) -> CapSet:
    caps: set[Cap] = set()
    for name in names if isinstance(names, (list, tuple)) else ():
        caps |= everything if str(name).upper() == _ALL else {Cap.parse(str(name))}
    return frozenset(caps)


def differences(asked: Object, answer: Object) -> Iterator[str]:
    """The differences between the sets that were asked for and those in the server's answer."""
    made, known = ({one["name"]: _sets_of(one) for one in containers(x)} for x in (answer, asked))
    for name, sets in known.items():
        for key, wanted in sets.items():
            if name not in made:
                yield f"{name}: the server's answer has no such container"
                break
            if (now := made[name][key]) != wanted:
                yield f"{name}: {key} is {_shown(now)} in the answer, not {_shown(wanted)}"


def additions(asked: Object, answer: Object) -> Iterator[str]:
    """The containers that the server has put beside those of a pod's specification."""
    known = {one["name"] for one in containers(asked)}
    made = {one["name"]: _sets_of(one) for one in containers(answer) if one["name"] not in known}
    for name, sets in sorted(made.items()):
        text = ", ".join(f"{key} {_shown(value)}" for key, value in sets.items())
        yield f"{name} is added by the server: {text}"


def _sets_of(container: Object) -> dict[str, Any]:
    context = container.get("securityContext") or {}
    sets = context.get("capabilities") or {}
    return {
        "privileged": bool(context.get("privileged")),
        "drop": sorted(sets.get("drop") or ()),
        "add": sorted(sets.get("add") or ()),
    }


def _shown(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower()
