"""Compare a service without a report with what its program was proven to need before. Pure.

This is weaker than a report: another version, configuration or entrypoint can need something else.
"""

from collections.abc import Iterator
from dataclasses import replace

from capadvise.catalog.known import Known, KnownProgram
from capadvise.catalog.known_index import STARTERS, other_version, repository
from capadvise.config.declared import Exposure
from capadvise.gate.finding import Finding
from capadvise.gate.service import Service
from capadvise.model.caps import Cap, CapSet
from capadvise.model.escape import printable
from capadvise.report.lines import listed

_ROOT = ("root", "0")


def with_known_needs(
    findings: list[Finding], service: Service, unit: str, known: Known
) -> list[Finding]:
    """The findings, with one more if a service that starts as root holds more than any variant of
    its program needs; or less than all variants need, if its file names root as the user. To drop
    ALL is said anyway: the needs then belong to that remedy. ``unit``: the name of its unit; empty
    if it is no unit."""
    program = _program(service, unit, known)
    if program is None:
        return findings
    less = [*_less(service, program.common)]
    said = [*_more(service, program.largest), *less]
    needs = f"{program.name} ({program.upstream} was proven) needs {_needed(program)}"
    why = f"The {'unit' if unit else 'image'} name suggests {program.name}."
    if asked := other_version(program.name, program.version, service.declared.image or ""):
        why = f"{why} {printable(asked)}"
    shown = f"`capadvise known {program.name}` shows the proof."
    if said and not less and any(one.rule == "no-drop-all" for one in findings):
        hint = f"{why} {needs}: {shown}"
        return [replace(one, hint=hint * (one.rule == "no-drop-all")) for one in findings]
    remedy = f"{shown} To be sure of this service, record it."
    what = f"{needs}; this service {listed(said)}"
    return [*findings, *([service.finding("known-needs", "", what, why, remedy)] if said else [])]


def _program(service: Service, unit: str, known: Known) -> KnownProgram | None:
    """The program that its unit or image names, if that says what the service itself needs."""
    image = service.declared.image or ""
    index = known.index
    program = known.of(index.by_unit(unit) if unit else index.by_image(image) if image else None)
    if program is None or service.bounded_only or service.declared.windows:
        return None
    of_users = repository(image) in program.images_of_users and service.declared.user is None
    return program if STARTERS.isdisjoint(program.commands) and not of_users else None


def _more(service: Service, largest: CapSet) -> Iterator[str]:
    if more := service.granted - largest:
        yield f"also holds {_names(more)}"


def _less(service: Service, common: CapSet) -> Iterator[str]:
    """Yields only if the file itself names root as the user."""
    if service.declared.user is None or service.uid not in _ROOT:
        return
    on_host = any(one.kind is Exposure.HOST_NETWORK for one in service.declared.exposed)
    free = {_BIND} if service.consumer.opens_ports and not on_host else set()
    if less := common - service.granted - free:
        yield f"lacks {_names(less)}"


def _needed(program: KnownProgram) -> str:
    """The common needs of its variants, and those of single variants."""
    some = program.largest - program.common
    if some and not program.common:
        return f"at most {_names(some)}"
    always = _names(program.common)
    return f"{always}; in some configurations also {_names(some)}" if some else always


def _names(caps: CapSet) -> str:
    if len(caps) > _MANY:
        return f"{len(caps)} others, such as {listed([cap.short for cap in sorted(caps)][:3])}"
    return listed([cap.short for cap in sorted(caps)]) or "no capability"


_BIND = Cap.parse("NET_BIND_SERVICE")
_MANY = 12
