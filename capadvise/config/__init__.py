"""The configuration languages, one folder each. ``LANGUAGES`` has all of them; ``recognise`` names
the language of a file.

All of it may be imported. This file is light: the rest of a language is loaded when it is used, so
that ``emit`` pays for one language.
"""

from __future__ import annotations

from capadvise.config.compose import COMPOSE
from capadvise.config.ecs import ECS
from capadvise.config.foreign import FOREIGN
from capadvise.config.kubernetes import KUBERNETES
from capadvise.config.language import Language, UnknownFile
from capadvise.config.oci import OCI
from capadvise.config.quadlet import QUADLET
from capadvise.config.renderers import SETCAP, SETPRIV
from capadvise.config.run import DOCKER, PODMAN
from capadvise.config.systemd import SYSTEMD

LANGUAGES: dict[str, Language] = {
    language.name: language
    for language in (
        COMPOSE,
        KUBERNETES,
        DOCKER,
        PODMAN,
        QUADLET,
        SYSTEMD,
        ECS,
        OCI,
        FOREIGN,
        SETCAP,
        SETPRIV,
    )
}
"""In the order in which they are shown, and in which a file is tried."""


def languages(question: str) -> tuple[Language, ...]:
    """The languages that answer a question of ``language.QUESTIONS``."""
    return tuple(language for language in LANGUAGES.values() if language.can(question))


RENDERED = {language.name: language for language in languages("render")}
"""Those that ``emit`` writes."""


def recognise(path: str, text: str) -> Language | None:
    """The language of a file, by name and content; None for a file of none. Raises BadInput, with
    the line, for what is not YAML, and for what two languages claim."""
    for language in LANGUAGES.values():
        if language.named(path):
            return language
    if path.endswith(".conf") and "\n[Service]" in f"\n{text}":
        return SYSTEMD  # a drop-in that lies somewhere else
    from capadvise.model.errors import BadInput

    file = UnknownFile(path, text)
    odd = _odd_key(file)  # it reads the file: what is no YAML is refused here
    others = (language for language in LANGUAGES.values() if language is not FOREIGN)
    claiming = [language for language in others if language.claims(file)]
    if not claiming and FOREIGN.claims(file):  # its kinds have few keys of their own
        return FOREIGN
    if len(claiming) > 1:
        names = " and ".join(sorted(language.name for language in claiming))
        raise BadInput(
            f"line 1: ambiguous: it is {names} at once", hint="put each into a file of its own"
        )
    if not claiming and odd is not None:
        from capadvise.config.yaml.tree import ambiguous

        raise ambiguous(odd, "a key at the top that is no plain text")
    return next(iter(claiming), None)


def _odd_key(file: UnknownFile) -> int | None:
    """The line of a key that some reader could take for ``kind`` or ``services``."""
    from capadvise.config.yaml.tree import Mapping, Scalar, target

    for root in map(target, file.roots):
        for key, _ in root.pairs if isinstance(root, Mapping) else ():
            if not isinstance(key, Scalar) or key.tag is not None:
                return key.line
    return None


def can_be_ours(text: str) -> bool:
    """True if JSON that is not readable as YAML can still mean something to a JSON reader."""
    import json
    import re

    keys = [key for language in LANGUAGES.values() for key in language.keys]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return re.search(rf"""["'](?:{"|".join(keys)})["']\s*:|\\u00""", text) is not None
    return isinstance(value, dict) and not value.keys().isdisjoint(keys)
