"""What no advice may weaken."""

from __future__ import annotations

import re

_SYSTEM = r"/(?:\S*/)?(?:etc|usr|boot|root|home|dev|proc|sys|bin|sbin|lib\w*|opt|run)\b"
_ROOT_EQUIVALENT = (
    r"(?:DAC_OVERRIDE|DAC_READ_SEARCH|NET_ADMIN|SETFCAP|SETGID|SETUID|SYS_ADMIN|SYS_MODULE|SYS_PTRACE"
    r"|SYS_RAWIO)"
)
_RUNS_OTHERS = r"(?:python|perl|ruby|node|java|busybox|bash|dash|sh|env|awk)[\d.]*\b"
_WEAKENED = {
    rf"(?:give|chown(?: -R)?(?: [\d:]+)?|chmod(?: \S+)?) /?{_SYSTEM}": "a file of the system",
    rf"(?:write to|search the directories above) {_SYSTEM}": "a folder of the system",
    r"(?:give|chown(?: -R)?(?: [\d:]+)?) /(?= |$|,|;)": "the whole machine",
    r"(?:run|start)\w* (?:it |the container )?as (?:root|uid 0|USER 0|user 0)": "as root",
    r"\bsudo\b": "sudo",
    r"chmod\b[^.;]*\b(?:[0-7]?[0-7][0-7][2367]\b|[ao]*\+\w*w|u\+s|[4-7][0-7]{3})": "a mode",
    r"set-?uid bit": "set-uid",
    r"setcap \S*(?:dac_|setuid|setgid|setfcap|sys_(?:admin|module|rawio))": "root for everybody",
    rf"setcap \S+ (?:\S*/)?{_RUNS_OTHERS}": "an interpreter",
    rf"AmbientCapabilities=[\w ]*{_ROOT_EQUIVALENT}": "an ambient set that is root",
    r"(?:disable|switch off|turn off|setenforce 0|unconfined)": "a security module",
    r"seccomp[=:]unconfined|label[=:]disable|--privileged": "a container's walls",
    r"(?<!in place of \")(?<!instead of \")privileged: true": "all of a container's walls",
    r"\bnobody\b.*give .* to uid 65534|give \S+ to uid 65534": "a file for nobody",
}


def weakened(text: str) -> str | None:
    """What an advice weakens; None if nothing."""
    found = (what for pattern, what in _WEAKENED.items() if re.search(pattern, text))
    return next(found, None)
