"""The command line that quadlet makes of a ``.container`` file, as far as it could be turned into
another one: what podman or systemd would take for an option, an image or several words.

``quadlet`` puts values into an ExecStart= line of systemd, which expands ``%`` and ``$`` in it.
"""

from __future__ import annotations

import re

from capadvise.config.run.client_options import RUN
from capadvise.config.run.pflag import Option
from capadvise.config.units.file import Section, split
from capadvise.config.units.file import words as split_all
from capadvise.config.yaml.tree import ambiguous

_IMAGES = ("Image", "Rootfs")
_INSIDE = ("Exec", "Entrypoint", "HealthCmd", "HealthStartupCmd", "Environment", "Label")
"""What becomes words behind the image, or part of one: it can be no option."""
_PAIRS = ("Environment", "Label", "Annotation")
_VARIABLE = r"""["']?\$[A-Za-z_]\w*["']?"""
_JUDGED = frozenset(
    (
        *("cap-add", "cap-drop", "privileged", "security-opt", "device", "device-cgroup-rule"),
        *("volume", "mount", "pid", "ipc", "uts", "network", "net", "userns", "cgroupns", "rootfs"),
    )
)


def words(container: Section) -> list[str]:
    """What PodmanArgs= adds up to. Raises BadInput where it could add up to more."""
    for item in container.assignments:
        if item.key in _PAIRS:
            _check_pairs(item.key, item.value, item.line)
        if item.key not in _INSIDE and item.value:
            _check_value(item.key, item.value, item.line)
    _check_global(container)
    pairs = split_all(container.values("PodmanArgs"), "c")
    args = [word for word, _ in pairs]
    line = pairs[0][1] if pairs else container.line
    options, rest = RUN.parse(args)
    if rest or "--" in args:
        raise ambiguous(
            line, "a word in PodmanArgs= that is not an option: podman takes it for the image"
        )
    if any(map(_is_variable, args)):
        raise ambiguous(line, "a variable in PodmanArgs=, which systemd splits into words")
    for option in options:
        _check_option(option, line)
    return args


def _check_pairs(key: str, value: str, line: int) -> None:
    """A name that begins like an option stands where podman could take it for one."""
    if any(word.startswith("-") for word in split(value, line, "shell-like")):
        raise ambiguous(line, f"a name in {key}= that looks like an option")


def _check_value(key: str, value: str, line: int) -> None:
    """systemd makes several words of ``$NAME`` where it stands alone, and podman takes an image
    that begins like an option for one."""
    if key in _IMAGES and value.strip('"').startswith(("-", "$", "%")):
        raise ambiguous(line, f"{key}= looks like an option or a variable")
    if any(map(_is_variable, (*value.split(), *split(value, line, "shell-like")))):
        raise ambiguous(line, f"a variable in {key}=, which systemd splits into words")


def _is_variable(word: str) -> bool:
    return re.fullmatch(_VARIABLE, word) is not None


def _check_option(option: Option, line: int) -> None:
    value = option.value or ""
    if len(value) > 1 and value.startswith("-"):
        raise ambiguous(line, f"the value of --{option.name} looks like an option")
    if not option.name.isprintable() or set(option.name) & set("$%"):
        raise ambiguous(line, "a variable in the name of an option")
    if option.name in _JUDGED:
        check_plain(value, line)


def check_plain(word: str, line: int) -> None:
    """Refuse what systemd expands."""
    if "$" in word or "%" in word.replace("%%", "").replace("%t", "").replace("%h", ""):
        raise ambiguous(line, f"a variable in {word!r:.60}")


def _check_global(container: Section) -> None:
    """Refuse what would begin another command than ``run``."""
    for item in container.values("GlobalArgs"):
        for word in split(item.value, item.line, "c"):
            is_option = word.startswith("--") and "=" in word
            if not is_option and word not in _GLOBAL_FLAGS:
                raise ambiguous(item.line, f"{word!r:.60} in GlobalArgs= can be a command")


_GLOBAL_FLAGS = ("--debug", "--syslog", "--noout", "--transient-store", "--trace")
