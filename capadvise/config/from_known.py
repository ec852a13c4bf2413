"""What a format renders of a program that was proven before."""

from __future__ import annotations

from capadvise.catalog.known import KnownNeed, KnownProgram, Variant
from capadvise.catalog.known_index import repository
from capadvise.config.comments import one_line
from capadvise.config.from_report import safe_name
from capadvise.config.snippet import Snippet
from capadvise.model.caps import CapSet
from capadvise.model.image import CLAIMED, Claim
from capadvise.model.target import is_user


def known_snippet(
    program: KnownProgram, variant: Variant, *, set_name: str, asked: str = ""
) -> Snippet:
    """Of one variant. ``asked``: what the program was looked for by, perhaps an image."""
    caps = variant.minimal if set_name == "floor" else variant.recommended
    needs = [need for need in variant.needs if need.cap in caps]
    proven = f"{program.name} {program.upstream}, {variant.name}: proven on {program.date}"
    return Snippet(
        name=program.name,
        caps=tuple((need.cap, one_line(_reason(need))) for need in needs),
        notes=(one_line(proven), _OTHERWISE),
        user=variant.user,
        of_image=repository(asked) in program.images_of_users,
        no_new_privileges=variant.no_new_privileges,
        default_seccomp=True,
        set_name=set_name,
        minimal=variant.minimal,
        variant=one_line(f"{program.name} {program.upstream}, {variant.name}"),
    )


def claimed_snippet(name: str, claim: Claim, caps: CapSet, *, set_name: str) -> Snippet:
    """Of the labels of an image, which say nothing of set-id programs."""
    return Snippet(
        name=safe_name(name.rpartition("/")[2].partition("@")[0].partition(":")[0]),
        caps=tuple((cap, "a label of the image says so") for cap in sorted(caps)),
        notes=(one_line(f"of the labels of {name}: {CLAIMED}"),),
        user=claim.user if is_user(claim.user) else "0:0",
        no_new_privileges=None,
        set_name=set_name,
        minimal=claim.minimal,
    )


_OTHERWISE = "For another version or configuration, or an image's entrypoint, prove it yourself."


def _reason(need: KnownNeed) -> str:
    return need.why.partition(" (")[0].partition(";")[0]
