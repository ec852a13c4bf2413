"""The story of a report for people who know docker and have never heard of capabilities: what it
needs and why, where it ran, what remains possible, what to do instead, and what the set saves. The
screens show parts of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from capadvise.catalog import Catalog, default
from capadvise.catalog.capabilities import (
    LABELS,
    WHERE_TO,
    Attack,
    EditPlace,
    Edits,
    Entry,
    Risk,
    Use,
)
from capadvise.catalog.circumstances import Circumstance
from capadvise.catalog.sites import among, asker
from capadvise.judgement.conclusion import conclude_report
from capadvise.judgement.decide import ONLY_HEALTHCHECK, Need, Proof, Proposal, Verdict
from capadvise.judgement.judge import Effect, Judged
from capadvise.judgement.report import Report
from capadvise.judgement.risk import (
    Remaining,
    circumstances_of,
    judged_in,
    on_the_host,
    opened_for_recording,
    remaining,
    risk_of,
    risk_word,
)
from capadvise.judgement.user_namespace import USUAL_IDS, fit_of
from capadvise.model.caps import Cap, CapSet, parse_set
from capadvise.model.escape import printable
from capadvise.model.posture import Posture, Sharing
from capadvise.report.compared import compared_lines
from capadvise.report.fit import can_move, fit_of_report
from capadvise.report.lines import bullet, edit_lines, listed, paragraph, sentence
from capadvise.report.text import called, evidence_line, occasions, refusal_lines
from capadvise.report.words import doubts, without

_MOST = 4
"""Pieces of evidence that are shown of one capability."""


def report_text(report: Report, catalog: Catalog) -> Iterator[str]:
    """The whole story, line by line: the answer, the reasons, the advice, the evidence."""
    conclusion = conclude_report(report, catalog)
    yield from paragraph(printable(f"{conclusion.headline(called(report))}."), "")
    needs = [report.proposal.need(cap) for cap in sorted(report.proposal.recommended)]
    if needs:
        yield from ("", "What it needs, and why")
        for need in needs:
            yield from _need(need, catalog)
    if uncertain := list(doubts(report.proposal)):
        yield from ("", "What it may also need")
        for text in uncertain:
            yield from bullet(f"{text}.")
    if needs:
        yield from ("", "Do this instead (best first)")
        yield from _ways(report, catalog)
        yield from ("", "What an attacker who takes over this program could still do")
        yield from _attacker(report, catalog)
        yield from namespace_text(report, catalog)
    if conclusion.has_set:
        yield from ("", "What this set saves")
        yield from _savings(report, catalog)
        for text in compared_lines(report, catalog.known_index):
            yield from ("", *paragraph(text, ""))
    if needs:
        yield from ("", "Evidence")
        for need in needs:
            yield from _evidence(need)
    if refused := list(refusal_lines(report, catalog)):
        yield from ("", *refused)
    if report.proposal.cautions:
        yield from ("", "What was not observed")
        for caution in report.proposal.cautions:
            yield from bullet(sentence(printable(caution)))


_OF_FILES = parse_set(["DAC_OVERRIDE", "DAC_READ_SEARCH"])
_AS_THEIR_OWNER = (
    "let the health check become the user whose files it reads (su, gosu); the engine runs it as "
    "the container's user"
)


def _need(need: Need, catalog: Catalog) -> Iterator[str]:
    entry = catalog.entry(need.cap)
    what = entry.summary[:1].lower() + entry.summary[1:] if entry else "newer than this catalog"
    yield from paragraph(f"{need.cap.name} ({what})", "  ")
    seen = uses_seen(need, entry) if entry else []
    if seen and entry is not None:
        yield from bullet(
            f"{len(seen)} of its {len(entry.uses)} separate uses "
            f"{'was' if len(seen) == 1 else 'were'} seen:",
            "    ",
        )
        for use, asked in seen:
            yield from bullet(f"{use.name}, {asked}×: {use.what}", "        ", "·")
    doing = f"seen: {need.reason}" if need.evidence else need.reason
    yield from bullet(sentence(doing), "    ")
    yield from bullet(" ".join((_certainty(need), *map(sentence, occasions(need)))), "    ")
    for text in _remediation(need):
        yield from bullet(f"do this instead: {text}", "    ")
    if need.self_restricting:
        keep = "keep it, or start the program as the user that it switches to."
        if not need.lost_without:
            keep = f"without it, the program may keep running privileged: {keep}"
        yield from bullet(f"The program uses this to drop privileges. {sentence(keep)}", "    ")
    for text in _alternatives(need, catalog):
        yield from bullet(text, "    ")


def _evidence(need: Need) -> Iterator[str]:
    lines = list(dict.fromkeys(evidence_line(judged) for judged in needed_checks(need)))
    for line in lines[:_MOST]:
        yield from bullet(f"{need.cap.short}: {line}", "  ")
    if len(lines) > _MOST:
        yield from bullet(f"{need.cap.short}: and {len(lines) - _MOST} more like it", "  ")


def _alternatives(need: Need, catalog: Catalog) -> Iterator[str]:
    """The alternatives that trials tried; without trials, those that could be enough."""
    for other, passed in need.tried:
        yield f"{printable(other)} {'also passed' if passed else 'was tried instead, and failed'}."
    tried = {other for other, _ in need.tried}
    for caps in need.alternatives:
        if "+".join(cap.short for cap in caps) not in tried:
            yield _alternative(need.cap, caps, catalog)


def _remediation(need: Need) -> Iterator[str]:
    if need.only == ONLY_HEALTHCHECK and need.cap in _OF_FILES:
        yield _AS_THEIR_OWNER
    if need.remediation:
        yield printable(need.remediation)


def _alternative(cap: Cap, others: tuple[Cap, ...], catalog: Catalog) -> str:
    text = f"{' and '.join(other.short for other in others)} would also be enough"
    own, entries = catalog.entry(cap), [catalog.entry(other) for other in others]
    worse = [entry for entry in entries if entry and own and entry.risk > own.risk]
    if worse:
        more = risk_of(worse[0].risk)
        return f"{text}, but gives far more ({more}): do not grant it for this."
    return f"{text}."


def _certainty(need: Need) -> str:
    if need.uncertain:
        return f"Uncertain: {printable(need.uncertain)}."
    lost = without(need)
    if need.verdict is Verdict.REQUIRED:
        return f"Proven by trial: without it, {lost or 'the workload fails'}."
    source = "the call site" if need.evidence or not need.files else "the file"
    known = {
        Proof.TRIAL: "Proven by trial: the workload passes without it",
        Proof.RETRY: "Confirmed by retrying the call: it failed without this capability, and "
        "succeeded with it",
    }.get(need.proof, f"Inferred from {source}, not tested")
    return f"{known}. Without it: {lost}." if lost else f"{known}."


def _attacker(report: Report, catalog: Catalog) -> Iterator[str]:
    """In the place where it ran; where that is the plain host, in docker's default container."""
    for text in place_sentences(report):
        yield from paragraph(text)
    place, where = judged_in(report)
    if where:
        yield from paragraph(f"{where}, with this set:")
    sources: dict[str, int] = {}
    entries = filter(None, map(catalog.entry, report.proposal.recommended))
    for entry in sorted(entries, key=lambda e: (-e.risk, e.cap)):
        remains = remaining(entry, place)
        yield ""
        yield from bullet(f"{entry.cap.short}: {risk_of(remains.risk)}. {remains.because}", "  ")
        if entry.uses and place.get(Circumstance.HOST_USER) is False:
            shut = sum(use.initial_only for use in entry.uses)
            yield from paragraph(
                f"{shut} of its {len(entry.uses)} uses work in the host's user namespace only, "
                "so not there.",
                "    ",
            )
        yield from _attacks(remains, sources)
    for cap in sorted(report.proposal.recommended):
        if catalog.entry(cap) is None:
            yield from bullet(f"{cap.short}: newer than this catalog: unknown risk.")
    yield ""
    yield from paragraph(POSSIBILITIES)
    for text, number in sources.items():
        yield from bullet(text, "  ", f"[{number}]")


def _attacks(remains: Remaining, sources: dict[str, int]) -> Iterator[str]:
    """Possible attacks first; each with the number of its source."""

    def named(attack: Attack) -> str:
        number = sources.setdefault(attack.reference, len(sources) + 1)
        return f"{attack.what} [{number}]"

    for mark, text in possibilities(remains, named):
        yield from bullet(text, "    ", mark)


def _ways(report: Report, catalog: Catalog) -> Iterator[str]:
    ways = ways_out(report.proposal, report.proposal.recommended, catalog)
    for number, way in enumerate(ways, 1):
        yield from bullet(f"{_names(way)}: {way.use}", "  ", f"{number}.")
        indent = " " * (len(str(number)) + 4)
        yield from paragraph(way.do, indent)
        yield from edit_lines(way.edits, indent)
        yield from paragraph(_effect(way), indent)
    without = report.proposal.recommended - {cap for way in ways for cap in way.caps}
    for cap in sorted(without):
        yield from bullet(
            f"{cap.short}: no remediation is known for what was seen. "
            f"`capadvise explain {cap.short}` lists the usual ones."
        )
    if any(way.edits for way in ways):
        yield ""
        yield from paragraph(WHERE_TO)


def _effect(way: Way) -> str:
    names = _names(way)
    if way.others:
        more = [f"{len(way.others) - 2} more"] * (len(way.others) > 2)
        others = listed([*way.others[:2], *more])
        return (
            f"Removes this use of {names}; {names} is also needed for {others}, and can "
            "be dropped once all of them are gone."
        )
    if way.narrower:
        return f"Replaces {names} by {listed([c.short for c in way.narrower], 'or')}."
    return f"{names} can then be dropped."


def _names(way: Way) -> str:
    return listed([cap.short for cap in way.caps])


def _savings(report: Report, catalog: Catalog) -> Iterator[str]:
    caps = report.proposal.recommended
    runtime = catalog.baselines.default(report.target.engine)
    gone, more = sorted(runtime.grants - caps), sorted(caps - runtime.grants)
    text = f"Compared with {runtime.name}'s defaults ({len(runtime.grants)} capabilities): "
    text += f"{len(gone)} fewer, {_worst(gone, catalog)}" if gone else "none fewer"
    if more:
        text += f"; {len(more)} more, {_worst(more, catalog)}"
    yield from bullet(f"{text}.")
    everything = {Cap(number) for number in range(report.recording.host.last_cap + 1)}
    left = sorted(everything - caps)
    yield from bullet(
        f"Compared with `privileged: true` (all {len(everything)}): {len(left)} fewer, "
        f"{_worst(left, catalog)}. `privileged` also disables the seccomp filter, "
        "AppArmor and the device limits, and makes /proc/sys and /sys writable; with `cap_add` all "
        "of these stay in place."
    )


def _worst(caps: list[Cap], catalog: Catalog) -> str:
    """Those of the highest risk by name, and how many others."""
    by_risk: dict[Risk, list[str]] = {}
    for cap in caps:
        by_risk.setdefault(Risk[(catalog.risk(cap) or "low").upper()], []).append(cap.short)
    worst = max(by_risk, default=Risk.LOW)
    names = by_risk.get(worst, [])
    others = "including " * (len(names) < len(caps))
    return f"{others}{listed(names)} ({risk_of(worst)})"


_OWN = dict.fromkeys(("mnt", "pid", "net", "ipc", "uts"), Sharing.OWN)


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
        there = fit_of(report.proposal, catalog, Posture(namespaces=_OWN))
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
        yield from bullet(f"{cap.short} has no effect there. It loses: {lost}.")
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
    for place, edit in catalog.texts["user-namespaces"].items():
        yield from bullet(f"{LABELS[EditPlace[place.upper()]]}: {edit}")
        yield from paragraph(catalog.texts["user-namespace-conditions"][place], "    ")


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


def place_sentences(report: Report) -> Iterator[str]:
    """The place where it ran, for people who know docker."""
    posture = report.posture
    if on_the_host(report):
        yield _a_plain_program(report)
    elif report.target.kind == "container":
        image = report.target.image
        of_image = f" of the image {printable(image)}" if image else ""
        yield f"It ran in a container{of_image}."
    elif report.target.kind == "unit":
        yield "It ran as a service of this machine, confined as its unit says."
    if posture.sandbox:
        yield (
            f"Its kernel is not the host's but the one of {printable(posture.sandbox)}: what "
            "follows applies to that one."
        )
    shared = [name for name, s in posture.namespaces.items() if s is Sharing.HOST]
    own = [name for name, s in posture.namespaces.items() if s is Sharing.OWN]
    if shared or own:
        yield f"Namespaces shared with the host: {_plain(shared)}; its own: {_plain(own)}."
    if facts := _restraints(report):
        yield f"Besides: {', '.join(facts)}."


def _a_plain_program(report: Report) -> str:
    user, here = report.posture.user, circumstances_of(report)
    owner = user is not None and user.uid == 0 and here.get(Circumstance.HOST_USER) is True
    return "It ran directly on the host, not in a container." + (
        " As root it owns the host's files (/etc/shadow, /root), whatever its capabilities: run "
        "it in a container or as its own user first."
        if owner
        else ""
    )


def _restraints(report: Report) -> list[str]:
    posture = report.posture
    facts = [
        _seccomp(report),
        "no_new_privs is set" if posture.no_new_privs else "",
        printable(f"{posture.mac.module} {posture.mac.label}") if posture.mac else "",
        printable(f"cgroups {posture.cgroup.version}") if posture.cgroup else "",
    ]
    return [fact for fact in facts if fact]


def _seccomp(report: Report) -> str:
    seccomp = report.posture.seccomp
    if seccomp is None:
        return ""
    if opened_for_recording(report):
        return "no seccomp filter (disabled for the recording)"
    return "no seccomp filter" if seccomp.mode == "off" else "a seccomp filter"


def _plain(names: list[str]) -> str:
    plain = default().texts["namespaces"]
    return ", ".join(plain.get(name, name) for name in names) or "none"


def needed_checks(need: Need) -> list[Judged]:
    """The checks that make it needed: the others are incidental."""
    return [judged for judged in need.evidence if judged.effect is Effect.NEEDED]


def _asked_by(need: Need) -> dict[str, int]:
    """How often each kernel function asked, as far as it was needed."""
    counts: dict[str, int] = {}
    for judged in needed_checks(need):
        check = judged.check
        function = next(iter(asker(check.site)), "")
        if not check.site and check.syscall:  # a retried call: only the call itself is known
            function = f"sys_{check.syscall}"
        counts[function] = counts.get(function, 0) + check.count
    return counts


def uses_seen(need: Need, entry: Entry) -> list[tuple[Use, int]]:
    """The uses of a capability that were seen, and how often; most often first."""
    counts = _asked_by(need)
    seen = [
        (use, sum(counts[name] for name in counts if among(name, use.functions)))
        for use in entry.uses
    ]
    return sorted((item for item in seen if item[1]), key=lambda item: -item[1])


def possibilities(remains: Remaining, named: Callable[[Attack], str]) -> Iterator[tuple[str, str]]:
    """(mark, sentence): ``!`` possible there, ``?`` only under that condition, ``×`` not possible
    there; possible ones first. ``named``: an attack with its source."""
    for attack in remains.possible:
        yield "!", named(attack)
    for attack, circumstance in remains.depends:
        yield "?", f"If {circumstance}: {named(attack)}"
    for condition in remains.worse:
        risk = risk_word(condition.risk)
        yield "?", f"If {condition.when}, the risk is {risk}: {condition.reason}"
    for attack, obstacle in remains.closed:
        yield "×", f"{named(attack)} But {obstacle}."


POSSIBILITIES = "! possible there   ? only if that is true   × not possible there"
"""The meaning of the marks."""


@dataclass(frozen=True, slots=True)
class Way:
    """The remediation of one need, or of several that the same edits end."""

    caps: tuple[Cap, ...]
    use: str
    """The use that needs no capability this way."""
    do: str
    edits: Edits
    narrower: tuple[Cap, ...]
    """One of these is still needed this way."""
    others: tuple[str, ...]
    """Uses of the same capability that were seen, too, and that need ways of their own."""
    saves: int
    """Steps down the scale of risk, when all of the capability's uses are gone."""

    @property
    def effort(self) -> int:
        """How far away the easiest edit is; a design without an edit is furthest."""
        return min((place for place, _ in self.edits), default=len(EditPlace))


def ways_out(proposal: Proposal, caps: CapSet, catalog: Catalog) -> list[Way]:
    """Ways to do without the members of a set: those first that take away most risk, then those
    that take away a whole capability, then the easiest."""
    ways: list[Way] = []
    for cap in sorted(caps):
        entry = catalog.entry(cap)
        if entry is not None:
            need = proposal.need(cap)
            # The catalog's ways end uses.
            unused = need.files and not need.evidence
            for way in (_without(need, entry),) if unused else _ways_of(need, entry, catalog):
                _add(ways, way)
    return sorted(ways, key=lambda w: (-w.saves, bool(w.others), -len(w.caps), w.effort))


def _add(ways: list[Way], way: Way) -> None:
    """The same edits, such as another user, often end several needs."""
    for at, known in enumerate(ways):
        if way.edits and known.edits == way.edits and not known.others and not way.others:
            caps = tuple(dict.fromkeys((*known.caps, *way.caps)))
            worst = max(known, way, key=lambda each: each.saves)
            ways[at] = replace(worst, caps=caps)
            return
    ways.append(way)


def _executed(need: Need) -> tuple[str, ...]:
    return tuple(f"executing {printable(path)}" for path in need.files)


def _without(need: Need, entry: Entry) -> Way:
    """The way of files that need a capability only to be executed."""
    how = f"{printable(need.remediation or '')}."
    return Way((need.cap,), _executed(need)[0], how, (), (), (), entry.risk)


def _ways_of(need: Need, entry: Entry, catalog: Catalog) -> Iterator[Way]:
    caps = (entry.cap,)
    files = _executed(need)
    seen = [use for use, _ in uses_seen(need, entry)]
    for uses in _together(seen):
        first = uses[0]
        names = ", ".join(use.name for use in uses)
        others = (*(use.name for use in seen if use not in uses), *files)
        saves = entry.risk - _lowest(first.narrower, catalog)
        yield Way(caps, names, first.remediation, first.edits, first.narrower, others, saves)
    if seen:
        return
    rules = {judged.rule.id: judged.rule for judged in needed_checks(need) if judged.rule}
    for way in entry.remediation:
        sites = ("*",) if way.sites is None else way.sites
        left = [rule.text for name, rule in rules.items() if not among(name, sites)]
        if way.sites is None or len(left) < len(rules):
            yield Way(caps, way.need, way.do, way.edits, (), (*left, *files), entry.risk)


def _together(uses: list[Use]) -> list[list[Use]]:
    """The uses in groups that one remediation ends: those that one of them covers, and those with
    the same edits."""
    groups: list[list[Use]] = []
    for use in sorted(uses, key=lambda each: -len(each.covers)):
        for group in groups:
            first = group[0]
            if use.name in first.covers or (first.edits and first.edits == use.edits):
                group.append(use)
                break
        else:
            groups.append([use])
    return groups


def _lowest(caps: Iterable[Cap], catalog: Catalog) -> int:
    entries = (catalog.entry(cap) for cap in caps)
    return min((int(entry.risk) for entry in entries if entry), default=0)
