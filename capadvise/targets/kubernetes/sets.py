"""Capability sets in a workload's object: read, replaced, compared with the server's answer.
Pure."""

import copy
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from capadvise.catalog import default
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
    spec: Object,
    sets: Mapping[str, CapSet],
    flags: Collection[CompanionKind] = (),
    today: CapSet = frozenset(),
) -> Object:
    """A pod's specification in which containers have these sets, with ``flags`` beside them, and
    are not privileged. ``today``: the set that they have, of which they keep what Pod Security
    lets nobody add. Raises BadInput for a missing container."""
    known = {one["name"]: one.get("securityContext") or {} for one in containers(spec)}
    return with_contexts(
        spec,
        {
            name: {
                **{key: value for kind, (key, value) in _FLAGS.items() if kind in flags},
                "privileged": False,
                "capabilities": _listed(known.get(name, {}), caps, today),
            }
            for name, caps in sets.items()
        },
    )


def with_contexts(spec: Object, contexts: Mapping[str, Object]) -> Object:
    """A pod's specification with changes to its containers' security contexts. Raises BadInput for
    a missing container."""
    changed = copy.deepcopy(spec)
    there = {one["name"]: one for one in containers(changed)}
    if missing := sorted(set(contexts) - set(there)):
        raise BadInput(
            f"it has no container {missing[0]}", hint=f"there are: {', '.join(sorted(there))}"
        )
    for name, context in contexts.items():
        new = dict(there[name].get("securityContext") or {}) | context
        added = (new.get("capabilities") or {}).get("add") or ()
        if new.get("allowPrivilegeEscalation") is False and {_ALL, "SYS_ADMIN"} & set(added):
            del new["allowPrivilegeEscalation"]  # the server refuses the two together
        there[name]["securityContext"] = new
    return changed


def _listed(context: Object, caps: CapSet, today: CapSet) -> dict[str, list[str]]:
    """The lists that give a set. Pod Security's level baseline lets a container have NET_RAW, as
    runtimes give it, but not add it: such a set is what the container has today, less the rest."""
    own = context.get("capabilities") or {}
    drop, add = (list(own.get(key) or ()) for key in ("drop", "add"))
    named = _ALL in map(str.upper, (*drop, *add)) or context.get("privileged")
    if not named and caps <= today and not caps <= default().pod_addable["baseline"]:
        less = [cap.short for cap in sorted(today - caps)]
        kept = [name for name in add if Cap.parse(name) in caps]
        return {"drop": [*drop, *less], "add": kept} if less else own
    if caps >= _EVERY:
        return {"add": [_ALL]}
    return {"drop": [_ALL], "add": [cap.short for cap in sorted(caps)]}


def containers(spec: Object) -> Iterator[Object]:
    """All of a pod, as it is declared."""
    for kind in ("initContainers", "containers"):
        yield from spec.get(kind) or ()


def granted(container: Object, runtime: CapSet, everything: CapSet) -> CapSet:
    """The set that a container gets. ``runtime``: what the runtime gives one."""
    context = container.get("securityContext") or {}
    if context.get("privileged"):
        return everything
    capabilities = context.get("capabilities") or {}
    drop, add = (_parsed(capabilities.get(key) or (), everything) for key in ("drop", "add"))
    # Runtimes drop a capability that both lists name; after dropping ALL, they add only those that
    # are named.
    if _ALL in map(str.upper, capabilities.get("drop") or ()):
        return add
    return (runtime | add) - drop


def _parsed(names: object, everything: CapSet) -> CapSet:
    caps: set[Cap] = set()
    for name in names if isinstance(names, (list, tuple)) else ():
        caps |= everything if str(name).upper() == _ALL else {Cap.parse(str(name))}
    return frozenset(caps)


def differences(asked: Object, answer: Object) -> Iterator[str]:
    """The differences between the restraints that were asked for and those in the server's
    answer."""
    made = {one["name"]: one for one in containers(answer)}
    for one in containers(asked):
        if (name := one["name"]) not in made:
            yield f"{name}: the server's answer has no such container"
            continue
        context, got = one.get("securityContext") or {}, made[name].get("securityContext") or {}
        pairs = {key: (wanted, got.get(key)) for key, wanted in context.items()}
        pairs.pop("capabilities", None)
        pairs |= {key: (want, _sets_of(made[name])[key]) for key, want in _sets_of(one).items()}
        for key, (wanted, now) in pairs.items():
            if now != wanted:
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
    return "none" if value is None else str(value).lower()
