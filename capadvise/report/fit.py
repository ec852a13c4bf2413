"""Whether what a report proposes could be held in a user namespace of its own, and what to write
for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from capadvise.caps import Cap, CapSet
from capadvise.catalog import Catalog
from capadvise.catalog.capabilities import Risk
from capadvise.catalog.circumstances import Circumstance
from capadvise.catalog.ways import LABELS, EditPlace
from capadvise.posture import Posture, Sharing
from capadvise.report.escape import printable
from capadvise.report.model import Report
from capadvise.report.risk import judged_in, remaining, risk_word
from capadvise.report.words import bullet, listed, paragraph
from capadvise.user_namespace import USUAL_IDS, Fit, NeedScope, Placed, fit_in, fit_of, placements

Places = Mapping[Cap, Placed]


def can_move(report: Report) -> bool:
    """It ran in the host's user namespace, as far as is known."""
    return report.posture.namespaces.get("user") is not Sharing.OWN


def places_of(report: Report, catalog: Catalog) -> Places:
    """Where each need can be met."""
    return placements(report.proposal, catalog, report.posture)


def fit_of_report(
    report: Report, catalog: Catalog, caps: CapSet | None = None, places: Places | None = None
) -> Fit:
    """What trials in one have shown; else what follows from the checks. ``caps``: the user's own
    choice; ``places``: as they were found out before."""
    recommended = report.proposal.recommended
    fit = fit_in(places or places_of(report, catalog), recommended if caps is None else caps)
    fit = replace(fit, volumes=tuple(_volumes(report)))
    proven, tried = report.proven, caps is None or caps == recommended
    if not tried or proven is None or not proven.user_namespace:
        return fit
    if proven.flaky or not proven.complete:
        return fit
    return replace(fit, fits=proven.floor is not None, outside=(), open=(), without=())


def _volumes(report: Report) -> Iterator[tuple[str, str]]:
    exposed = report.posture.root.exposed if report.posture.root else ()
    return ((item.target, item.source) for item in exposed if item.kind == "no-idmap")


_SHORT = {NeedScope.USER_NAMESPACE: "user ns", NeedScope.HOST: "host only", None: "not known"}


def place_in_short(place: Placed) -> str:
    """Two words, for a column."""
    return _SHORT[place.scope]


def place_sentence(place: Placed) -> str:
    """What becomes of one need there; unescaped."""
    if place.scope is NeedScope.USER_NAMESPACE:
        ids = f", with the ids up to {place.ids - 1} mapped" if place.ids else ""
        return f"It works in a user namespace of its own, too{ids}."
    if place.lost:
        return f"It has no effect in a user namespace. What is lost: {place.lost}."
    if place.scope is NeedScope.HOST:
        return f"It has no effect in a user namespace: {place.why}."
    return f"Whether it works in a user namespace, only a trial can tell: {place.why}."


WAYS = (
    (
        EditPlace.DOCKER,
        'dockerd --userns-remap=default   # or "userns-remap" in /etc/docker/daemon.json',
        "For all containers of the daemon; not with --network=host, --pid=host or --privileged. "
        "Give volumes to the mapped ids.",
    ),
    (
        EditPlace.PODMAN,
        "--userns=auto",
        "As root, /etc/subuid must have a range for the user containers. Volumes: the option :U, "
        "or :idmap.",
    ),
    (
        EditPlace.KUBERNETES,
        "hostUsers: false",
        "Kubernetes 1.33 or later, Linux 6.3, containerd 2.0 or CRI-O, and volumes on a file "
        "system that supports idmapped mounts: ext4, xfs, btrfs and tmpfs do, NFS does not.",
    ),
    (
        EditPlace.SYSTEMD,
        "PrivateUsers=identity",
        "systemd 257 or later. Mounts, network and host name need namespaces of their own besides: "
        "PrivateMounts=, PrivateNetwork=, ProtectHostname=.",
    ),
)
"""Where, what to write, and what else it takes: dockerd(8), podman-run(1), systemd.exec(5), and
"User Namespaces" in the documentation of Kubernetes."""


OWN_NAMESPACES = Posture(namespaces=dict.fromkeys(("mnt", "pid", "net", "ipc", "uts"), Sharing.OWN))


def fit_line(report: Report, catalog: Catalog) -> str | None:
    """One line, where it decides something (see ``fit_told``)."""
    fit = fit_told(report, catalog, report.proposal.recommended)
    return f"Fits a user namespace: {in_short(fit)}" if fit else None


def fit_told(
    report: Report, catalog: Catalog, caps: CapSet, places: Places | None = None
) -> Fit | None:
    """Whether this set fits, where that decides something: one of it is root-equivalent, and is
    not held in a user namespace already."""
    entries = [entry for cap in sorted(caps) if (entry := catalog.entry(cap))]
    tried = report.proven is not None and report.proven.user_namespace
    worst = any(entry.risk is Risk.ROOT for entry in entries)
    if not caps or not (worst or tried) or not can_move(report):
        return None
    return fit_of_report(report, catalog, caps, places)


def in_short(fit: Fit, *, names_only: bool = False) -> str:
    """``yes``, or what stands in the way."""
    if fit.fits:
        more = f", with the ids up to {fit.ids - 1} mapped" if fit.ids > USUAL_IDS else ""
        lost = f", without {listed([cap.short for cap, _ in fit.without])}" if fit.without else ""
        places = listed([printable(f"{place} ({kind})") for place, kind in fit.volumes])
        volumes = f", but not with the volume {places}" if fit.volumes else ""
        return f"yes{lost}{more}{volumes}"
    if fit.fits is False and not fit.outside:
        return "no: it fails there even with every capability"
    said = fit.outside if fit.fits is False else fit.open
    what = "; ".join(f"{cap.short}, {printable(why)}" for cap, why in said)
    if names_only:
        what = listed([cap.short for cap, _ in said])
    return f"no: {what}" if fit.fits is False else f"not known: {what}"


def namespace_text(report: Report, catalog: Catalog) -> Iterator[str]:
    """The section of ``explain``; nothing where it runs in one already."""
    if not report.proposal.recommended or not can_move(report):
        return
    fit = fit_of_report(report, catalog)
    yield from ("", "Would it run in a user namespace?")
    if fit.fits is False:
        if not fit.outside:
            yield from paragraph("No: in trials it failed there even with every capability.")
            return
        yield from paragraph("No. These would have no effect there:")
        for cap, why in fit.outside:
            only = report.proposal.need(cap).only
            yield from bullet(f"{cap.short}: {printable(why)}" + (f", {only}" if only else ""))
        there = fit_of(report.proposal, catalog, OWN_NAMESPACES)
        fit = replace(there, volumes=fit.volumes)
        if not fit.fits:
            return
        yield from paragraph("With these namespaces of its own, as in a container, it would:")
    elif fit.fits is None:
        yield from paragraph("That is not known: `capadvise prove --userns` can tell, for:")
        for cap, why in fit.open:
            yield from bullet(f"{cap.short}: {printable(why)}")
    else:
        milder = _milder(report, catalog)
        yield from paragraph(f"Yes. Its root would be an ordinary user of the host{milder}.")
    for cap, lost in fit.without:
        yield from bullet(f"{cap.short} has no effect there. What is lost: {lost}.")
    if fit.ids > USUAL_IDS:
        yield from bullet(
            f"It uses ids up to {fit.ids - 1}, which must be mapped: engines and Kubernetes "
            f"map those up to {USUAL_IDS - 1} by default."
        )
    for volume, kind in fit.volumes:
        yield from bullet(
            printable(f"{volume} is on {kind}, which has no idmapped mounts: Kubernetes does not ")
            + "start such a pod, and elsewhere its files belong to nobody."
        )
    for place, edit, needs in WAYS:
        yield from bullet(f"{LABELS[place]}: {edit}")
        yield from paragraph(needs, "    ")


def _milder(report: Report, catalog: Catalog) -> str:
    """Risks that are lower there."""
    here, _ = judged_in(report)
    there = {**here, Circumstance.HOST_USER: False}
    lower = []
    for cap in sorted(report.proposal.recommended):
        entry = catalog.entry(cap)
        if entry and (risk := remaining(entry, there).risk) < remaining(entry, here).risk:
            lower.append(f"{cap.short} {risk_word(risk)}")
    return f"; the risk would be lower: {listed(lower)}" if lower else ""
