"""devcontainer.json, and the file of one of its features."""

from __future__ import annotations

from capadvise.config.carriers.hcl import without_comments
from capadvise.config.carriers.settings import container, items, joined, pairs, plain, unjudged
from capadvise.config.declared import Declared
from capadvise.config.language import UnknownFile
from capadvise.config.yaml.tree import EMPTY, Mapping, documents, target, text
from capadvise.model.errors import BadInput


def claims(file: UnknownFile) -> bool:
    """False: its files are known by their names."""
    return False


def read(source: str, path: str = "") -> tuple[Declared, ...]:
    """The container. Comments and commas before a closing bracket are allowed."""
    roots = documents(without_comments(source.removeprefix("\ufeff")))
    root = target(roots[0]) if roots else EMPTY
    if not isinstance(root, Mapping):
        raise BadInput("line 1: not a devcontainer.json: it has no keys")
    joins = [
        item
        for key, value in pairs(root)
        if plain(key) == "dockercomposefile"
        for item in items(value)
    ]
    builds = [
        unjudged(f"build.options: {text(each)}", each.line)
        for key, value in pairs(root)
        if key == "build"
        for name, option in pairs(value)
        if name == "options"
        for each in items(option)
        if "privileged" in (text(each) or "") or "entitle" in (text(each) or "")
    ]
    one = container(root, "devcontainer", more=builds)
    return () if joins and one == joined((), one.service, one.line) else (one,)


def used_by(path: str, source: str) -> list[str]:
    """The compose files whose services it starts."""
    from os.path import dirname, join

    root = documents(without_comments(source))[0]
    return [
        join(dirname(path), text(item) or "")
        for key, value in pairs(root)
        if plain(key) == "dockercomposefile"
        for item in items(value)
    ]
