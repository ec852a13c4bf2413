"""The specifiers of units, as far as the name of a unit settles them."""

import re
from dataclasses import replace

from capadvise.catalog import default
from capadvise.config.units.file import Section
from capadvise.config.units.names import OTHER_QUADLETS, unit_of


def specified(section: Section, path: str, keys: str) -> Section:
    """A section with the specifiers that the name of its unit settles, in the keys that match. No
    reader replaces them in a switch or a capability."""
    each = (
        replace(item, value=expanded(item.value, path)) if re.fullmatch(keys, item.key) else item
        for item in section.assignments
    )
    return replace(section, assignments=tuple(each))


def expanded(text: str, path: str = "") -> str:
    """A text with these specifiers; without a path, with those that every service has."""
    unit, values = unit_of(path), dict(default().host.lists["specifiers"])
    if re.fullmatch(r"[\w:.@-]+", unit.stem):  # else it has escapes, or is that of a whole type
        prefix, template, instance = unit.stem.partition("@")
        last, whole = prefix.rpartition("-")[2], unit.stem
        if unit.suffix in OTHER_QUADLETS and unit.suffix != ".kube":
            whole = f"{prefix}-{unit.suffix[1:]}{template}{instance}"
        parts = {"p": prefix, "j": last}
        if instance or not template:
            parts |= {"i": instance} if instance else {}
            values |= {"N": whole, "n": f"{whole}.service"}
            values |= {"f": "/" + (instance or prefix).replace("-", "/")}
        # In upper case they are unescaped: a dash stands for a slash.
        values |= parts | {key.upper(): part.replace("-", "/") for key, part in parts.items()}
    return re.sub("%(.)", lambda match: values.get(match[1], match[0]), text)
