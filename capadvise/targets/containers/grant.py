"""A container's capabilities, changed in its command line or its service. The rest stays as the
user wrote it. Pure, but ``with_user_namespace`` asks docker."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from capadvise.catalog import Catalog
from capadvise.config.compose import COMPOSE
from capadvise.config.declared import Declared
from capadvise.config.granted import granted
from capadvise.config.quadlet import QUADLET
from capadvise.config.run.pflag import Option, is_on
from capadvise.judgement.user_namespace import USUAL_IDS
from capadvise.model.caps import CapSet
from capadvise.model.companion import CompanionKind
from capadvise.model.errors import BadInput
from capadvise.model.posture import Posture, Sharing
from capadvise.targets.client.client import Client
from capadvise.targets.client.invocation import Invocation

_CAPS = frozenset(("cap-add", "cap-drop"))
_OUR_OWN = frozenset(
    (
        *("name", "detach", "interactive", "tty", "publish", "publish-all", "rm", "cidfile"),
        *("pidfile", "restart", "replace", "service-ports", "pull", "sig-proxy", "attach"),
    )
)
"""Options that a trial must not take over."""


def _hides_checks(option: str) -> bool:
    """True if a security option prevents checks, or refuses calls for another reason."""
    name = option.replace(":", "=", 1)
    return name.startswith(("seccomp=", "no-new-privileges"))


def recorded(invocation: Invocation, label: str) -> Invocation:
    """``run`` with every capability and no seccomp filter. The engine must neither restart nor
    remove it: one that ends at once would be gone before it is described."""
    kept = [
        option
        for option in invocation.options
        if option.name not in _CAPS | {"restart", "rm"}
        and not (option.name == "security-opt" and _hides_checks(option.value or ""))
    ]
    if invocation.verb == "run":
        kept += [Option("cap-add", "ALL"), Option("label", label)]
        kept.append(Option("security-opt", "seccomp=unconfined"))
    return replace(invocation, options=tuple(kept))


def granted_by_options(invocation: Invocation, catalog: Catalog) -> CapSet:
    """The set that the user's own ``run`` grants."""
    of = {name: [o.value or "" for o in invocation.options if o.name == name] for name in _CAPS}
    privileged = is_on(invocation.options, "privileged")
    return _granted(
        of["cap-add"], of["cap-drop"], invocation.engine, catalog, privileged=privileged
    )


def granted_by_service(service: Mapping[str, Any], engine: str, catalog: Catalog) -> CapSet:
    """The set that a service of a resolved compose project grants."""
    add, drop = (service.get(key) or () for key in ("cap_add", "cap_drop"))
    return _granted(add, drop, engine, catalog, privileged=bool(service.get("privileged")))


def _granted(
    add: Iterable[str], drop: Iterable[str], engine: str, catalog: Catalog, *, privileged: bool
) -> CapSet:
    declared = Declared("", add=tuple(add), drop=tuple(drop), privileged=privileged)
    language = QUADLET if engine == "podman" else COMPOSE
    return granted(declared, language.judged_by, catalog)


def tried(
    invocation: Invocation,
    caps: CapSet,
    name: str,
    label: str,
    options: Iterable[Option] = (),
    flags: Collection[CompanionKind] = (),
) -> Invocation:
    """``run`` with just this set, under the engine's own defaults, published nowhere.

    ``options`` replace the volumes; ``flags`` stand beside the set.
    """
    gone = _CAPS | _OUR_OWN | {"privileged", "volume", "mount"}
    own = [option.value or "" for option in invocation.options if option.name == "security-opt"]
    security = _security(own, flags, "no-new-privileges")
    kept = [
        option
        for option in invocation.options
        if option.name not in gone and (option.name != "security-opt" or option.value in security)
    ]
    kept += [Option("security-opt", text) for text in security if text not in own]
    kept += [Option("cap-drop", "ALL"), *(Option("cap-add", cap.short) for cap in sorted(caps))]
    kept += [Option("name", name), Option("label", label), *options]
    return replace(invocation, options=tuple(kept), rest=_unchanged(invocation))


def _unchanged(invocation: Invocation) -> tuple[str, ...]:
    """The image and its command. A folder is run with a layer above it for changes."""
    if (rootfs := invocation.rootfs) is None or "O" in rootfs.split(":")[1:]:
        return invocation.rest
    return (f"{rootfs}:O", *invocation.rest[1:])


def in_front(invocation: Invocation, name: str) -> Invocation:
    """A call of compose that stays until its containers end, and touches nothing of the user's."""
    gone = _CAPS | _OUR_OWN | {"build", "force-recreate", "remove-orphans", "wait", "watch"}
    kept = tuple(option for option in invocation.options if option.name not in gone)
    if invocation.verb == "compose run":
        kept = (*kept, Option("no-TTY"), Option("name", name))
    return replace(invocation, options=kept)


def recorded_service(service: Mapping[str, Any], label: str) -> dict[str, Any]:
    """A service of a resolved compose project, with every capability and no seccomp filter."""
    security = [text for text in service.get("security_opt") or () if not _hides_checks(text)]
    return {
        **_without(service, "cap_drop", "restart"),
        "cap_add": ["ALL"],
        "security_opt": [*security, "seccomp=unconfined"],
        "labels": {**(service.get("labels") or {}), **_label(label)},
    }


def _security(own: Iterable[str], flags: Collection[CompanionKind], forbids: str) -> list[str]:
    """The security options of a container, where ``flags`` replace the user's own. ``forbids``: how
    no_new_privs is written."""
    replaced = tuple(FLAGS[flag] for flag in flags)
    kept = [text for text in own if not text.startswith(replaced)]
    return [*kept, *([forbids] if CompanionKind.NO_NEW_PRIVS in flags else ())]


FLAGS = {CompanionKind.NO_NEW_PRIVS: "no-new-privileges", CompanionKind.SECCOMP: "seccomp"}
"""The security options that they replace. The default profile needs none."""


def tried_service(
    service: Mapping[str, Any], caps: CapSet, flags: Collection[CompanionKind] = ()
) -> dict[str, Any]:
    """A service of a resolved compose project with just this set, and ``flags`` beside it."""
    own = [str(text) for text in service.get("security_opt") or ()]
    return {
        **_without(service, "privileged"),
        "security_opt": _security(own, flags, "no-new-privileges:true"),
        "cap_drop": ["ALL"],
        "cap_add": [cap.short for cap in sorted(caps)],
    }


def in_trial(
    service: Mapping[str, Any], image: str, label: str, volumes: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A service in a trial: no own name, no published ports, no restarts. ``image`` was built for
    the recording, and is not built again."""
    return {
        **_without(service, "container_name", "ports", "restart", "volumes", "build"),
        "image": image,
        "volumes": list(volumes),
        "labels": {**(service.get("labels") or {}), **_label(label)},
    }


def _without(service: Mapping[str, Any], *gone: str) -> dict[str, Any]:
    left = {key: value for key, value in service.items() if key not in gone}
    if "restart" in gone and "deploy" in left:
        deploy = left["deploy"] or {}
        left["deploy"] = {k: v for k, v in deploy.items() if k != "restart_policy"}
    return left


def _label(label: str) -> dict[str, str]:
    name, _, value = label.partition("=")
    return {name: value}


_CHOOSING_USERS = frozenset(("userns", "uidmap", "gidmap", "subuidname", "subgidname"))
"""Options that choose a user namespace: podman's, and docker's ``--userns=host``."""
_FIRST_ID = 1 << 31
"""The first of the host's ids that are mapped: beyond all that systems assign."""
_OUR_IDS = tuple(Option(name, f"0:{_FIRST_ID}:{USUAL_IDS}") for name in ("uidmap", "gidmap"))
_REMAPPED = ("name=userns", "name=rootless")
"""Security options of a docker that gives every container a user namespace."""


def with_user_namespace(invocation: Invocation, client: Client, posture: Posture) -> Invocation:
    """The call with an own user namespace, unless the recording had one. Raises BadInput."""
    if posture.namespaces.get("user") is Sharing.OWN:
        return invocation
    kept = tuple(option for option in invocation.options if option.name not in _CHOOSING_USERS)
    if client.engine == "podman":
        return replace(invocation, options=(*kept, *_OUR_IDS))
    security = client.call("info", "--format", "{{json .SecurityOptions}}")
    if not any(word in security for word in _REMAPPED):
        raise BadInput(
            "the containers of this docker share the host's user namespace",
            hint="a docker daemon with --userns-remap=default gives them one, and has images and "
            "volumes of its own: record the container there, or with podman",
        )
    return replace(invocation, options=kept)


def first_id(invocation: Invocation) -> int:
    """The host's id of the container's root, if it has a user namespace of ours."""
    return _FIRST_ID if set(_OUR_IDS) <= set(invocation.options) else 0
