"""The flags that docker run and podman run share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from capadvise.config.comments import comment
from capadvise.config.declared import Declared
from capadvise.config.run import exposed as run_exposed
from capadvise.config.run.client_options import RUN
from capadvise.config.run.exposed import profiles
from capadvise.config.run.pflag import Option, is_on, value_of

if TYPE_CHECKING:
    from capadvise.config.snippet import Snippet


def render(
    snippet: Snippet,
    *,
    no_new_privileges: bool,
    notes: tuple[str, ...] = (),
    sysctls: Mapping[str, str] | None = None,
) -> str:
    """One line of flags, the reasons before it."""
    words = ["--cap-drop=ALL", *(f"--cap-add={cap.short}" for cap, _ in snippet.caps)]
    if snippet.says_user:
        words.append(f"--user={snippet.user}")
    if no_new_privileges:
        words.append("--security-opt=no-new-privileges")
    words += [f"--sysctl={key}={value}" for key, value in (sysctls or {}).items()]
    reasons = [comment(f"{cap.short}: {reason}") for cap, reason in snippet.caps]
    return "".join((snippet.comments(more=notes), *reasons, " ".join(words), "\n"))


def declared(words: Sequence[str], engine: str, number: int) -> Declared:
    """What the flags of one command say, up to the image; what is not a flag of ours is passed
    by."""
    options, rest = RUN.parse(words)
    security = [option.replace("=", ":", 1) for option in _values(options, "security-opt")]
    forbidden = [
        not option.endswith(":false")
        for option in security
        if option.partition(":")[0] == "no-new-privileges"
    ]
    return Declared(
        service=value_of(options, "name") or engine,
        image=rest[0] if rest else None,
        line=number,
        drop=_caps(options, "cap-drop"),
        add=_caps(options, "cap-add"),
        # Once is enough: whoever says yes and no in one line means nothing good.
        privileged=any(is_on((option,), "privileged") for option in options),
        user=value_of(options, "user"),
        no_new_privileges=forbidden[-1] if forbidden else None,
        exposed=tuple(run_exposed.exposed(options, number)),
        unjudged=tuple(run_exposed.unjudged(options, number)),
        profiles=tuple(profiles((option, number) for option in security)),
    )


def _values(options: Sequence[Option], *names: str) -> list[str]:
    return [option.value or "" for option in options if option.name in names]


def _caps(options: Sequence[Option], name: str) -> tuple[str, ...]:
    """podman reads each as a line of CSV, in which quotes are allowed."""
    return tuple(
        cap.strip().strip('"') for value in _values(options, name) for cap in value.split(",")
    )
