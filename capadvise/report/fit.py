"""The fit of a recommended set into a user namespace of its own."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from capadvise.catalog import Catalog
from capadvise.judgement.report import Report
from capadvise.judgement.user_namespace import Fit, NeedScope, Placed, fit_in, placements
from capadvise.model.caps import Cap, CapSet
from capadvise.model.posture import Sharing

Places = Mapping[Cap, Placed]


def can_move(report: Report) -> bool:
    """It ran in the host's user namespace, as far as is known."""
    return report.posture.namespaces.get("user") is not Sharing.OWN


def places_of(report: Report, catalog: Catalog) -> Places:
    """The place where each need can be met."""
    return placements(report.proposal, catalog, report.posture)


def fit_of_report(
    report: Report, catalog: Catalog, caps: CapSet | None = None, places: Places | None = None
) -> Fit:
    """The result of trials in a user namespace; else the conclusion from the checks. ``caps``: the
    user's own choice; ``places``: the result of ``places_of``, if it is known."""
    recommended = report.proposal.recommended
    fit = fit_in(places or places_of(report, catalog), recommended if caps is None else caps)
    fit = replace(fit, volumes=tuple(_volumes(report)))
    proven, tried = report.proven, caps is None or caps == recommended
    if not tried or proven is None or not proven.user_namespace:
        return fit
    if not proven.conclusive:
        return fit
    return replace(fit, fits=proven.minimal is not None, outside=(), open=(), without=())


def _volumes(report: Report) -> Iterator[tuple[str, str]]:
    exposed = report.posture.root.exposed if report.posture.root else ()
    return ((item.target, item.source) for item in exposed if item.kind == "no-idmap")


IN_SHORT = {NeedScope.USER_NAMESPACE: "user ns", NeedScope.HOST: "host only", None: "not known"}
"""Where a need can be met, in two words."""


def place_sentence(place: Placed) -> str:
    """The effect of one need there; unescaped."""
    if place.scope is NeedScope.USER_NAMESPACE:
        ids = f", with the ids up to {place.ids - 1} mapped" if place.ids else ""
        return f"It works in a user namespace of its own, too{ids}."
    if place.lost:
        return f"It has no effect in a user namespace. It loses: {place.lost}."
    if place.scope is NeedScope.HOST:
        return f"It has no effect in a user namespace: {place.why}."
    return f"Whether it works in a user namespace, only a trial can tell: {place.why}."
