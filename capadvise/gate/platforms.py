"""The platforms on which a service cannot run as its file says, by their published rules:
``catalog/platforms.yaml``. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from capadvise.gate.finding import Finding, Reached, Violation
from capadvise.gate.pod_security import adds, service_level
from capadvise.gate.service import Service
from capadvise.model.escape import printable


def refusal(service: Service, pods: Iterable[Reached], platform: str) -> Iterator[Finding]:
    """A finding with every rule of the platform that refuses the service, or the pod that it is
    in."""
    facts = service.catalog.platforms[platform]
    name = service.declared.service.rpartition("/")[0]
    level = next((pod for pod in pods if pod.pod == name), None)
    if level is None:
        level = service_level(service.declared, service.consumer, service.catalog)
    broken = [
        (f"{what} ({rule['id']})", line)
        for rule in facts["rules"]
        for what, line in dict.fromkeys(_broken(rule, service, level.violations))
    ]
    if broken:
        yield service.finding(
            "pod-security",
            "",
            f"{facts['title']} does not run it as it is",
            f"To change: {printable('; '.join(what for what, _ in broken))}.",
            f"Change these. The rules are those of {facts['source']} ({facts['date']}).",
            line=broken[0][1],
        )


def _broken(
    rule: Mapping[str, Any], service: Service, violations: Iterable[Violation]
) -> Iterator[tuple[str, int]]:
    declared, lines = service.declared, dict(service.declared.lines)
    for item in violations:
        meant = f"{item.level}/{item.control}" in rule.get("controls", ())
        if meant and not any(fnmatchcase(item.what, each) for each in rule.get("unless", ())):
            yield item.what, item.line
    for short, name in adds(declared, service.consumer):
        if short not in rule.get("adds", (short,)) or short in rule.get("lacks", ()):
            yield f"adds {name}", lines.get(name, declared.line)
    user = service.uid
    if user.isdecimal() and declared.user and int(user) < rule.get("uid-from", 0):
        yield f"user {user}", lines.get("user", declared.line)
    if rule.get("escalation") and declared.no_new_privileges is False:
        yield "programs may gain privileges", lines.get("no_new_privileges", declared.line)
    for each in declared.exposed:
        if each.kind in rule.get("exposes", ()):
            yield each.what, each.line
