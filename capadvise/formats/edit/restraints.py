"""What else ``emit`` writes beside capabilities, in the user's own file: no new privileges, and the
default seccomp filter where none is. Only where the recording showed that neither does harm. For
Kubernetes also that a container is not privileged, where one was that the file does not call so: an
object that was made of another file stays privileged where this one says nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from capadvise.formats import engine
from capadvise.formats.declared import Declared
from capadvise.formats.edit import compose, containers, kubernetes
from capadvise.formats.edit.changes import Document, change, change_list, release
from capadvise.formats.edit.layout import Item, Listing, Tree
from capadvise.formats.edit.patched import Patched, odd
from capadvise.formats.edit.text_edits import NormalizedText, TextEdit, apply
from capadvise.formats.edit.unit_edits import add, same_but
from capadvise.formats.edit.yaml_values import names, text
from capadvise.formats.kubernetes import forbids_escalation
from capadvise.formats.snippet import Snippet
from capadvise.formats.unit_file import parse
from capadvise.formats.yaml_tree import EMPTY, Mapping, Node, Sequence, documents, entries, target
from capadvise.model.errors import CannotPatch

_OPTION = "no-new-privileges"
_KEY = "NoNewPrivileges"
_CAPABILITIES = (
    *("DropCapability", "AddCapability", "CapabilityBoundingSet", "AmbientCapabilities"),
)


def restrained(language: str, patched: Patched, declared: Declared, snippet: Snippet) -> Patched:
    """The same patch with these. Where the file is written in a way that does not allow it, a note
    says so."""
    user = declared.user if declared.user is not None else snippet.user
    snippet = replace(snippet, user=user)
    normalized = NormalizedText.of(patched.text)
    try:
        new = _RESTRAIN[language](normalized.body, patched.service, declared, snippet)
    except CannotPatch as error:
        note = f"no more than capabilities was changed: {error}"
        return replace(patched, notes=(*patched.notes, note))
    return replace(patched, text=normalized.restore(new))


# ------------------------------------------------------------------------------ compose


def _compose(body: str, service: str, declared: Declared, snippet: Snippet) -> str:
    if declared.no_new_privileges or not engine.no_new_privileges(snippet):
        return body
    root, services, _ = compose.find(body, service)
    pair = services.own(service)
    if pair is None or not isinstance(pair[1], Mapping):
        raise odd(f"service {service!r}")
    if _is_inherited(services, pair[1], service):
        return body
    new = apply(body, _with_option(Document.of(body, root), pair[1]))
    before, after = (
        [compose.others(each, service, ("security_opt",)) for each in documents(text)]
        for text in (body, new)
    )
    if before != after:
        raise CannotPatch(f"security_opt of {service} is used elsewhere, too")
    return new


def _is_inherited(services: Mapping, node: Node, service: str) -> bool:
    """Whether a service that is extended, or one that extends it, has the option: compose joins the
    lists, and refuses what is twice in them. Raises CannotPatch where one is in another file."""
    heirs = (services.own(name) for name in compose.dependents(services, service))
    for other in (*compose.parents_of(services, node), *(pair[1] for pair in heirs if pair)):
        if other is None:
            raise CannotPatch(
                f"{service} extends a service in another file, which may say {_OPTION} already"
            )
        said = map(str.strip, names(entries(other).get("security_opt")))
        if any(option in (f"{_OPTION}:true", f"{_OPTION}=true", _OPTION) for option in said):
            return True
    return False


def _with_option(doc: Document, node: Mapping) -> list[TextEdit]:
    own = node.own("security_opt")
    tag = own[1].tag if own else None
    said = [] if tag == "!reset" else names(entries(node).get("security_opt"))
    kept = [option for option in said if option.partition(":")[0].partition("=")[0] != _OPTION]
    items = (*map(Item, kept), Item(f"{_OPTION}:true"))
    want = Listing(items, compose.OVERRIDE if tag else None)
    siblings = [pair for key in ("cap_drop", "cap_add") if (pair := node.own(key))]
    after = max(siblings, key=lambda pair: pair[0].start, default=None)
    if own is None:
        return change(doc, node, [], {"security_opt": want}, after=after)
    if not isinstance(own[1], Sequence) or own[1].tag or not own[1].items:
        return change(doc, node, [own], {"security_opt": want})
    return [*release(doc, own[1]), *change_list(doc, own[1], want, lambda name: name)]


# ------------------------------------------------------------------------------ Kubernetes

_ESCALATION, _SECCOMP = "allowPrivilegeEscalation", "seccompProfile"
_PRIVILEGED = "privileged"


def _kubernetes(body: str, service: str, declared: Declared, snippet: Snippet) -> str:
    container = containers.find(body, service)
    context = entries(container.node).get("securityContext")
    wanted: dict[str, Tree] = {}
    if forbids_escalation(snippet) and not declared.no_new_privileges:
        wanted[_ESCALATION] = "false"
    pod = entries(container.pod).get("securityContext")
    if snippet.default_seccomp and not any(map(_has_filter, (context, pod))):
        wanted[_SECCOMP] = {"type": Item("RuntimeDefault")}
    if snippet.privileged and _PRIVILEGED not in dict(declared.lines):
        wanted[_PRIVILEGED] = "false"
    if not wanted:
        return body
    if not isinstance(context, Mapping):
        raise odd(f"the securityContext of {service}")
    doc = Document.of(body, container.root)
    gone = [own for key in wanted if (own := context.own(key))]
    new = apply(body, [*release(doc, context), *change(doc, context, gone, wanted)])
    before, after = (list(kubernetes.others(each, service, tuple(wanted))) for each in (body, new))
    if before != after:
        raise CannotPatch(f"the securityContext of {service} is used elsewhere, too")
    return new


def _has_filter(context: Node | None) -> bool:
    profile = None if context is None else entries(context).get(_SECCOMP)
    kind = None if profile is None else text(entries(profile).get("type"))
    return kind not in (None, "Unconfined") and isinstance(target(profile or EMPTY), Mapping)


# ------------------------------------------------------------------------------ units


def _quadlet(body: str, service: str, declared: Declared, snippet: Snippet) -> str:
    return _unit(body, "Container", declared, snippet, quadlet=True)


def _systemd(body: str, service: str, declared: Declared, snippet: Snippet) -> str:
    return _unit(body, "Service", declared, snippet, quadlet=False)


def _unit(body: str, section: str, declared: Declared, snippet: Snippet, *, quadlet: bool) -> str:
    if declared.no_new_privileges or not snippet.no_new_privileges:
        return body
    unit = parse(body, quadlet=quadlet)
    said = unit.all_of(section).all(_KEY)
    if said:
        edits = [TextEdit(item.start, item.end, f"{_KEY}=true") for item in said]
    else:
        near = unit.all_of(section).all(*_CAPABILITIES)
        edits = [add(unit, section, [f"{_KEY}=true"], after=near[-1] if near else None)]
    new = parse(apply(body, edits), quadlet=quadlet)
    if not same_but(unit, new, (_KEY,)):
        raise odd("the unit")
    return new.text


_RESTRAIN: dict[str, Callable[[str, str, Declared, Snippet], str]] = {
    "compose": _compose,
    "kubernetes": _kubernetes,
    "quadlet": _quadlet,
    "systemd": _systemd,
}
