"""Patching a compose file: ``cap_drop``, ``cap_add`` and ``privileged`` of one service."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from capadvise.config import engine
from capadvise.config.declared import Declared
from capadvise.config.patched import (
    Patched,
    all_dropped,
    as_docker_takes_it,
    chosen,
    odd,
    on_user,
    patchable,
    reasons,
)
from capadvise.config.snippet import Snippet
from capadvise.config.text_edits import NormalizedText, TextEdit, apply
from capadvise.config.yaml.changes import (
    Document,
    Pair,
    change,
    change_list,
    merged,
    open_up,
    release,
)
from capadvise.config.yaml.layout import Item, Listing, Tree, source
from capadvise.config.yaml.tree import (
    Mapping,
    Node,
    Sequence,
    documents,
    entries,
    is_on,
    names,
    same,
    target,
    text,
    value,
)
from capadvise.model.errors import BadInput, CannotPatch

_EMPTY: dict[str, Tree] = {
    "cap_drop": Listing(()),
    "cap_add": Listing(()),
    "privileged": "false",
}
"""Keys that a patch changes → their values that grant nothing."""
_KEYS = tuple(_EMPTY)
OVERRIDE = "!override"


def patch(content: str, service: str | None, snippet: Snippet) -> Patched:
    """Let a service have what the snippet says and nothing else. Raises BadInput for what is no
    compose file and for a service that is not there, CannotPatch where more would change."""
    normalized = NormalizedText.of(content)
    root, services, name = find(normalized.body, service)
    wanted = {"cap_drop": all_dropped(snippet), "cap_add": Listing(reasons(snippet))}
    plan = _Plan(Document.of(normalized.body, root), services, name, wanted, snippet.privileged)
    edits = plan.edits()
    with patchable(f"service {name!r}"):
        changed, pinned = _pinned(normalized.body, apply(normalized.body, edits), name)
        _verify(normalized.body, changed, name, wanted)
    return Patched(
        normalized.restore(changed),
        name,
        (*pinned, *_notes(plan, snippet, changed=changed != normalized.body)),
        unprivileged=plan.privileged,
        dependents=tuple(dependents(services, name)),
    )


def find(body: str, service: str | None) -> tuple[Node, Mapping, str]:
    """The document and the services that a service stands in, and its name."""
    places = []
    for root in documents(body):
        services = target(entries(root).get("services", root))
        if isinstance(services, Mapping) and services is not root:
            places.append((root, services))
    if not places:
        raise BadInput("not a compose file: it has no services")
    every = [text(key) or "" for _, services in places for key, _ in services.pairs]
    try:
        name = chosen(service, every, what="service")
    except BadInput as error:
        if any("include" in entries(root) for root, _ in places):
            also = "it includes other files: patch the file that defines the service"
            error.hint = f"{error.hint}; {also}" if error.hint else also
        raise
    within = [(root, services) for root, services in places if services.own(name)]
    if len(within) > 1:
        raise BadInput(
            f"service {name!r} appears in {len(within)} of its documents",
            hint="compose merges them: define the service once",
        )
    return (*within[0], name)


@dataclass(slots=True)
class _Plan:
    """The changes for one service."""

    doc: Document
    services: Mapping
    name: str
    wanted: dict[str, Listing]
    recorded: bool | None
    """True if it was privileged when it was recorded."""

    @property
    def pair(self) -> Pair:
        pair = self.services.own(self.name)
        assert pair is not None
        return pair

    @property
    def overrides(self) -> bool:
        """Compose adds what it says to what another file says of the service."""
        return not entries(self.pair[1]).keys() & {"image", "build", "extends"}

    @property
    def privileged(self) -> bool:
        keys = entries(self.pair[1])
        return (
            is_on(keys.get("privileged"))
            or (self.recorded is True and self.overrides and "privileged" not in keys)
            or any(
                parent is not None and is_on(entries(parent).get("privileged"))
                for parent in parents_of(self.services, self.pair[1])
            )
        )

    def edits(self) -> list[TextEdit]:
        node = self.pair[1]
        if not isinstance(target(node), Mapping):
            raise BadInput(f"service {self.name!r} is not a mapping")
        if not isinstance(node, Mapping) or not node.pairs:
            empty = Mapping(node.start, node.start, node.line, None, None, (), False)
            _, _, new = self.lists(empty, entries(node))
            new |= self.switch(empty, entries(node))[1]
            return open_up(self.doc, self.services, self.pair, new) if new else []
        edits, gone, new = self.lists(node, entries(node))
        going, more = self.switch(node, entries(node))
        siblings = [pair for key in self.wanted if (pair := node.own(key)) and pair not in gone]
        after = siblings[-1] if siblings else None
        edits += change(self.doc, node, [*gone, *going], new | more, after=after)
        return edits

    def lists(
        self, node: Mapping, effective: dict[str, Node]
    ) -> tuple[list[TextEdit], list[Pair], dict[str, Tree]]:
        """Cuts in lists that stay, entries that go, entries that come."""
        edits: list[TextEdit] = []
        gone: list[Pair] = []
        new: dict[str, Tree] = {}
        for key, want in self.wanted.items():
            texts = frozenset(item.text for item in want.items)
            tag = self.tag(key)
            pair = node.own(key)
            if pair is None:
                if tag or not same(effective.get(key), texts, as_docker_takes_it):
                    new[key] = Listing(want.items, tag)
            elif (changed := self.in_place(pair, want, tag)) is not None:
                edits += changed
            else:
                gone.append(pair)
                if texts or tag or names(entries(merged(node)).get(key)):
                    new[key] = Listing(want.items, tag)
        return edits, gone, new

    def in_place(self, pair: Pair, want: Listing, tag: str | None) -> list[TextEdit] | None:
        """Cuts in a list of the service's own; None where another entry has to take its place."""
        own = pair[1]
        if not isinstance(own, Sequence) or own.tag == "!reset":
            return None
        fixed = own.tag == OVERRIDE or tag is None
        texts = frozenset(item.text for item in want.items)
        if fixed and same(own, texts, as_docker_takes_it):
            return []
        if not texts or not own.items:
            return None
        edits = [] if fixed else [self.insert_tag(pair)]
        edits += release(self.doc, own)
        return edits + change_list(self.doc, own, want, as_docker_takes_it)

    def insert_tag(self, pair: Pair) -> TextEdit:
        colon = self.doc.text.index(":", pair[0].end) + 1
        return TextEdit(colon, colon, f" {OVERRIDE}")

    def tag(self, key: str) -> str | None:
        """Compose adds the lists of an extended service, or of an overridden file, to those of this
        service, unless a tag prevents that. A tag that is already there stays."""
        own = self.pair[1].own(key) if isinstance(self.pair[1], Mapping) else None
        if own and own[1].tag in ("!reset", OVERRIDE):
            return OVERRIDE
        for parent in parents_of(self.services, self.pair[1]):
            if parent is None or names(entries(parent).get(key)):
                return OVERRIDE
        return None

    def switch(
        self, node: Mapping, effective: dict[str, Node]
    ) -> tuple[list[Pair], dict[str, Tree]]:
        """The entry ``privileged`` that goes, and the one that comes."""
        own = node.own("privileged")
        if own and not is_on(own[1]):
            return [], {}
        beneath = {**effective} if own is None else entries(merged(node))
        elsewhere = (
            is_on(beneath.get("privileged"))
            or (self.overrides and (self.recorded is True or own is not None))
            or any(
                self.recorded is not False
                if parent is None
                else is_on(entries(parent).get("privileged"))
                for parent in parents_of(self.services, self.pair[1])
            )
        )
        return [own] if own else [], {"privileged": "false"} if elsewhere else {}


def parents_of(services: Mapping, node: Node) -> Iterator[Node | None]:
    """The services that one extends, and those that these extend; None: in another file."""
    seen: set[str] = set()
    while (extends := entries(node).get("extends")) is not None:
        name = text(extends) or text(entries(extends).get("service")) or ""
        if "file" in entries(extends):
            yield None
            return
        parent = services.own(name)
        if parent is None or name in seen:
            return
        seen.add(name)
        node = parent[1]
        yield node


def dependents(services: Mapping, name: str) -> Iterator[str]:
    """The services that extend one, through others too."""
    pair = services.own(name)
    for key, other in services.pairs:
        if pair and any(parent is pair[1] for parent in parents_of(services, other)):
            yield text(key) or ""


def _pinned(old: str, new: str, name: str) -> tuple[str, list[str]]:
    """Give other services, whose keys came from the changed one, their old values; with a note on
    each. One after the other, since a service can take what another one was just given."""
    notes: list[str] = []
    root, services, _ = find(new, name)
    pairs = {text(key): (key, node) for key, node in services.pairs}
    for other, had in entries(find(old, name)[1]).items():
        pair = pairs.get(other)
        if pair is None or other == name:
            continue
        was, has = entries(had), entries(pair[1])
        pins: dict[str, Tree] = {
            key: source(old, target(was[key])) if key in was else _EMPTY[key]
            for key in _KEYS
            if _plain(was.get(key)) != _plain(has.get(key))
        }
        if not pins:
            continue
        doc = Document.of(new, root)
        if isinstance(pair[1], Mapping):
            gone = [own for key in pins if (own := pair[1].own(key))]
            new = apply(new, change(doc, pair[1], gone, pins))
        else:
            new = apply(new, open_up(doc, services, pair, pins))
        root, services, _ = find(new, name)
        pairs = {text(key): (key, node) for key, node in services.pairs}
        notes.append(f"{other} shared {', '.join(pins)} with {name}; it keeps its old values")
    return new, notes


def _plain(node: Node | None) -> Any:
    """The meaning of an entry; an empty one means nothing."""
    return names(node) or is_on(node)


def _verify(old: str, new: str, name: str, wanted: dict[str, Listing]) -> None:
    """Read both texts again: nothing but what was meant may differ. Raises CannotPatch."""
    before, after = (
        [_others(root, name, _KEYS, _plain) for root in documents(each)] for each in (old, new)
    )
    if before != after:
        raise CannotPatch(
            f"service {name!r} cannot be changed without changing another one",
            hint="write its cap_drop, cap_add and privileged out in the service itself",
        )
    has = entries(entries(find(new, name)[1])[name])
    right = not is_on(has.get("privileged")) and all(
        same(has.get(key), frozenset(item.text for item in want.items), as_docker_takes_it)
        for key, want in wanted.items()
    )
    if not right:
        raise odd(f"service {name!r}")


def _others(
    root: Node, name: str, keys: Collection[str], meaning: Callable[[Node], Any] = value
) -> Any:
    """All that an edit of some keys of a service must leave as it is. ``meaning``: how these keys
    are compared in other services."""
    services = entries(root).get("services")
    if services is None:
        return value(root)
    rest = {key: value(node) for key, node in entries(root).items() if key != "services"}
    each = {}
    for service, node in entries(services).items():
        own = {what: value(item) for what, item in entries(node).items() if what not in keys}
        said = {what: meaning(item) for what, item in entries(node).items() if what in keys}
        each[service] = (own, {} if service == name else {k: v for k, v in said.items() if v})
    return rest, each


def _notes(plan: _Plan, snippet: Snippet, *, changed: bool) -> Iterator[str]:
    name, node = plan.name, plan.pair[1]
    parents = list(parents_of(plan.services, node))
    if any(parent is None or names(entries(parent).get("cap_add")) for parent in parents):
        where = "in another file" if None in parents else "in this file"
        yield (
            f"{name} extends a service {where}, whose lists compose would merge into these: "
            f"{OVERRIDE} prevents that (Docker Compose 2.24.4 or later)"
        )
    yield from on_user(snippet, text(entries(node).get("user")))
    silent = "privileged" not in entries(node) and not plan.privileged
    if plan.recorded and changed and silent:
        yield (
            f"{name} was privileged when it was recorded, but not in this file: replace "
            "privileged: true by privileged: false in the file that says it"
        )
    if plan.overrides and plan.tag("cap_add") is None:
        yield (
            f"{name} has neither image nor build here: compose also applies the cap_add of the "
            "file that this one overrides"
        )


# ------------------------------------------------------------------------------ what else

_OPTION = "no-new-privileges"


def restrain(body: str, service: str, declared: Declared, snippet: Snippet) -> str:
    """No new privileges for the service, and the security options of an opening."""
    forbids = not declared.no_new_privileges and engine.no_new_privileges(snippet)
    options = [*([f"{_OPTION}:true"] if forbids else []), *engine.opened(snippet)]
    if not options:
        return body
    root, services, _ = find(body, service)
    pair = services.own(service)
    if pair is None or not isinstance(pair[1], Mapping):
        raise odd(f"service {service!r}")
    if forbids and _is_inherited(services, pair[1], service):
        return body
    new = apply(body, _with_options(Document.of(body, root), pair[1], options))
    before, after = (
        [_others(root, service, ("security_opt",)) for root in documents(each)]
        for each in (body, new)
    )
    if before != after:
        raise CannotPatch(f"security_opt of {service} is used elsewhere, too")
    return new


def _is_inherited(services: Mapping, node: Node, service: str) -> bool:
    """True if a service that is extended, or one that extends it, has the option: compose joins the
    lists and refuses duplicates. Raises CannotPatch if that service is in another file."""
    heirs = (services.own(name) for name in dependents(services, service))
    for other in (*parents_of(services, node), *(pair[1] for pair in heirs if pair)):
        if other is None:
            raise CannotPatch(
                f"{service} extends a service in another file, which may say {_OPTION} already"
            )
        said = map(str.strip, names(entries(other).get("security_opt")))
        if any(option in (f"{_OPTION}:true", f"{_OPTION}=true", _OPTION) for option in said):
            return True
    return False


def _with_options(doc: Document, node: Mapping, options: list[str]) -> list[TextEdit]:
    own = node.own("security_opt")
    tag = own[1].tag if own else None
    said = [] if tag == "!reset" else names(entries(node).get("security_opt"))
    gone = {_name(option) for option in options}
    items = map(Item, (*(option for option in said if _name(option) not in gone), *options))
    want = Listing(tuple(items), OVERRIDE if tag else None)
    siblings = [pair for key in ("cap_drop", "cap_add") if (pair := node.own(key))]
    after = max(siblings, key=lambda pair: pair[0].start, default=None)
    if own is None:
        return change(doc, node, [], {"security_opt": want}, after=after)
    if not isinstance(own[1], Sequence) or own[1].tag or not own[1].items:
        return change(doc, node, [own], {"security_opt": want})
    return [*release(doc, own[1]), *change_list(doc, own[1], want, lambda name: name)]


def _name(option: str) -> str:
    return option.partition(":")[0].partition("=")[0]
