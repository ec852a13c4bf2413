"""Judges one check, by the table from call sites to verdicts. Pure."""

import errno
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from capadvise.catalog import Meaning, SiteRule
from capadvise.catalog.signs import Sign, Signs
from capadvise.catalog.sites import asker
from capadvise.judgement import incidental
from capadvise.judgement.behaviour import REFUSALS, Context, is_idle
from capadvise.model.caps import Cap
from capadvise.model.recording import Check, Namespace, Phase, Retried


class Effect(IntEnum):
    """The effect of one check; the highest effect of a capability decides."""

    DENIED = 0
    INCIDENTAL = 1
    OPTIONAL = 2
    """Refused in a run that succeeded anyway."""
    NEEDED = 3


@dataclass(frozen=True, slots=True)
class Judged:
    """A check and its effect."""

    check: Check
    rule: SiteRule | None
    effect: Effect
    why: str
    alternatives: tuple[Cap, ...] = ()
    self_restricting: bool = False
    uncertain: str | None = None
    """The reason for a doubt. An incidental check has one unless it is certain that a refusal has
    no effect."""
    lost: str | None = None
    likely_optional: bool = False
    """Judging by one run, the program would have worked without; ``uncertain`` says why."""
    start: int = 1
    """The number of the recording's start in a lifecycle."""
    by_trial: bool = False
    """A second run without the capability lost something."""

    @property
    def about(self) -> str:
        """``kill, signal 0, by sh``."""
        detail = f", {self.check.detail}" if self.check.detail else ""
        return f"{self.check.call}{detail}, by {self.check.program or '?'}"

    @property
    def when(self) -> str:
        """The phase of a lifecycle."""
        if self.check.phase is Phase.STOP_COMMAND:
            return str(Phase.STOP)
        if self.check.phase is not Phase.RUN:
            return str(self.check.phase)
        return "first-start" if self.start == 1 else "later-start"


_DAC_OVERRIDE = Cap.parse("DAC_OVERRIDE")
_DAC_READ_SEARCH = Cap.parse("DAC_READ_SEARCH")
_SETFCAP = Cap.parse("SETFCAP")
_IN_PASSING = (Meaning.ADVISORY, Meaning.OPTIONAL, Meaning.FOREIGN_CREDENTIALS)
_IDLE = (
    "likely optional: the call changes nothing, so it matters only if the program stops at its "
    "error; capadvise prove tells"
)
"""For a chown to the owner that the file has, or setgroups to the groups that are set."""
WHILE_STOPPED = (
    "only used to stop processes of other users: without it, they can outlast the stop, until an "
    "engine or systemd kills them"
)
"""A trial passes without it, unless the stop waits for them."""
_IN_DOUBT = {Cap.parse("KILL"): WHILE_STOPPED}
"""Capabilities that a stop may lack without any visible failure."""
_AT_STOP = "used only while it was being stopped"
_ONLY_ASKS = "it only asks whether a call would be allowed, and programs usually go on at a no"
_LOOKUPS_LOST = (
    "lookups in /proc were dropped: it can read one chosen process, or list all of them; "
    "capadvise prove tells"
)
UNKNOWN_SITE = "unknown call site: capadvise prove tells whether it is needed"
"""Marks a need that no rule covers."""


def judge(check: Check, rule: SiteRule | None, context: Context) -> Judged:
    """Judge one check. If two answers are possible, take the one that misses no need."""
    judged = _judge(check, rule, context)
    if judged.effect is not Effect.NEEDED and context.if_nobody_lists is not None:
        other = _judge(check, rule, context.if_nobody_lists)
        if other.effect is Effect.NEEDED:
            return replace(other, uncertain=_LOOKUPS_LOST)
    return judged


def _judge(check: Check, rule: SiteRule | None, context: Context) -> Judged:
    if check.retried is not None:
        return _retried(check, check.retried, context.signs)
    if check.ns is Namespace.CHILD:
        return Judged(
            check, rule, Effect.INCIDENTAL, "privileged in a user namespace that it made itself"
        )
    if check.ns is Namespace.HOST and (rule is None or rule.meaning not in _IN_PASSING):
        effect = Effect.INCIDENTAL if check.granted else Effect.DENIED
        what = rule.text if rule else "an unknown call site"
        against = "checked against the host's user namespace, where its capabilities do not count"
        return Judged(check, rule, effect, f"{what}: {against}")
    if rule is None:
        return _decides(check, context, None, unknown(check))
    return _by_meaning(check, rule, context) or _by_program(check, rule, context)


def _by_meaning(check: Check, rule: SiteRule, context: Context) -> Judged | None:
    """Judge by the rule alone; None if the behaviour of the program decides."""
    match rule.meaning:
        case Meaning.OPTIONAL if doubt := _missed(check, rule, context):
            return Judged(
                *(check, rule, Effect.NEEDED, rule.text, rule.alternatives),
                uncertain=doubt,
                lost=rule.lost,
            )
        case Meaning.ADVISORY | Meaning.OPTIONAL:
            return _incidental(check, rule, rule.text, _loss(check, rule, context), rule.lost)
        case Meaning.FOREIGN_CREDENTIALS:
            return Judged(check, rule, Effect.INCIDENTAL, rule.text)
        case Meaning.SILENT:  # it succeeds either way: only the argument tells if that differs
            holds = _holds(check, rule)
            if holds is False:
                return _incidental(check, rule, rule.text, _loss(check, rule, context))
            uncertain = None if holds else "the argument that decides was not recorded"
            return Judged(
                check, rule, Effect.NEEDED, rule.text, uncertain=uncertain, lost=rule.lost
            )
        case Meaning.LOOKING if not incidental.looks_at_chosen(check, context):
            doubt = incidental.may_seek_one(check, context)
            return _incidental(check, rule, rule.text, doubt, rule.lost)
    if _holds(check, rule) is False:
        return _incidental(check, rule, rule.text, _loss(check, rule, context))
    return None


def _by_program(check: Check, rule: SiteRule, context: Context) -> Judged:
    """Judge a check that decides, unless the program makes it on the way to something else."""
    if any((check.program, call) in context.calls for call in rule.co_syscalls):
        why = f"{rule.text}, on the way to another call"
        return _incidental(check, rule, why, _loss(check, rule, context), rule.lost)
    if use := incidental.incidental_use(check, context):
        return _incidental(check, rule, use.why, use.doubt, use.lost)
    judged = _decides(check, context, rule, rule.text)
    doubt = incidental.likely_optional(check, context)
    if doubt and check.granted and judged.effect is Effect.NEEDED:
        return replace(judged, uncertain=doubt, likely_optional=True)
    if judged.uncertain is None and (check.program, check.syscall, check.cap) in context.idle_calls:
        return replace(judged, uncertain=_IDLE)
    return judged


def _incidental(
    check: Check, rule: SiteRule | None, why: str, doubt: str | None, lost: str | None = None
) -> Judged:
    """``doubt``: why it is believed that a refusal changes nothing. A refusal that was seen has
    shown that."""
    doubt = doubt if check.granted else None
    return Judged(check, rule, Effect.INCIDENTAL, why, uncertain=doubt, lost=lost)


def _loss(check: Check, rule: SiteRule, context: Context) -> str | None:
    """Why programs usually do without what the rule leaves out; None if that is certain."""
    wanted = incidental.acts_as_root(check, context) or incidental.seeks_state(check, context)
    if (rule.harmless and not wanted) or incidental.leaves_to_pam(check, context):
        return None
    lost = rule.lost or rule.text
    if rule.refused:
        return f"if it fails with {rule.refused}, programs usually go on without {lost}"
    return f"without it, the program only loses {lost}"


def _failure(check: Check) -> str | None:
    """A call that was refused with all that it had would be refused with less."""
    if check.result in REFUSALS:
        return None
    return f"the call failed anyway, with {errno.errorcode[-(check.result or 0)]}"


def unknown(check: Check) -> str:
    """Describe a check at a call site without a rule, as far as the call tells."""
    inner = asker(check.site)
    function = inner[0] if inner else "the kernel"
    call = f"{check.syscall}(2)" if check.syscall else "a system call"
    about = f" ({check.detail})" if check.detail else ""
    return f"{function} in {call}{about}, an unknown call site"


def _retried(check: Check, how: Retried, signs: Signs) -> Judged:
    """Judge a call that was retried with more capabilities: a fact that needs no call site."""
    call = check.syscall or "a call"
    alternatives: tuple[Cap, ...] = ()
    uncertain = None
    match how:
        case Retried.PROBE:
            why = "checking whether a call would be allowed, without making it"
            return Judged(check, None, Effect.INCIDENTAL, why, uncertain=_ONLY_ASKS)
        case Retried.ASKED:
            why = signs.asked.get(call, "doing what its arguments request")
            if check.cap == _SETFCAP:
                uncertain = "the kernel makes no check for it: inferred from the call"
        case Retried.REFUSED:
            why = f"calling {call}, which fails with {check.without}"
            alternatives = (_DAC_OVERRIDE,) if check.cap == _DAC_READ_SEARCH else ()
            uncertain = (
                "the call fails even with it: a user namespace cannot grant it, or something else "
                "refuses the call, such as file permissions"
            )
        case Retried.ONE_OF:
            why = f"calling {call}, which fails with {check.without} unless it has several of these"
            uncertain = "it succeeds with every capability, but with no likely one alone"
        case Retried.SHOWN:
            return _shown(check, call, signs)
    return Judged(check, None, Effect.NEEDED, why, alternatives, False, uncertain)


def _shown(check: Check, call: str, signs: Signs) -> Judged:
    """The call failed without the capability, or did less, and succeeded with it."""
    lacking = f"fails with {check.without}" if check.without else "loses a set-gid bit"
    why = f"calling {call}, which {lacking} without it"
    if check.result in signs.failed_anyway:
        doubt = _failure(check)
        why = f"{why}, and fails with it, too"
        return Judged(check, None, Effect.INCIDENTAL, why, uncertain=doubt)
    reading = check.cap == _DAC_READ_SEARCH and call != "open_by_handle_at"
    return Judged(
        check,
        None,
        Effect.NEEDED,
        why,
        alternatives=(_DAC_OVERRIDE,) if reading else (),
        self_restricting=call in signs.gives_up_rights,
        uncertain=_IDLE if is_idle(check) else None,
        lost=None if check.without else "the set-gid bit",
    )


def _holds(check: Check, rule: SiteRule) -> bool | None:
    return rule.when.holds(dict(check.args)) if rule.when else True


def _decides(check: Check, context: Context, rule: SiteRule | None, why: str) -> Judged:
    """A refusal would make the call fail."""
    mark = rule is not None and rule.meaning is Meaning.SELF_RESTRICTING
    uncertain = rule.doubt if rule else UNKNOWN_SITE
    if check.granted:
        if _failed_anyway(check, rule, context):
            return _incidental(check, rule, f"{why}, which failed anyway", _failure(check))
        if check.phase is Phase.STOP:
            at_stop = _IN_DOUBT.get(check.cap, _AT_STOP)
            return _incidental(check, rule, f"{why}, while it was being stopped", at_stop)
        alternatives = rule.alternatives if rule else ()
        return Judged(check, rule, Effect.NEEDED, why, alternatives, mark, uncertain)
    failed = check.result is not None and check.result < 0
    if (
        failed or context.signs.shows(Sign.NETLINK_REQUEST, check.site)
    ) and check.cap not in context.permitted:
        effect = Effect.OPTIONAL if incidental.did_without(check, context) else Effect.NEEDED
        alternatives = rule.alternatives if rule else ()
        return Judged(check, rule, effect, why, alternatives, mark, uncertain)
    return Judged(check, rule, Effect.DENIED, why, (), mark, uncertain)


def _failed_anyway(check: Check, rule: SiteRule | None, context: Context) -> bool:
    answers = rule.answers if rule else ()
    if check.result in context.signs.failed_anyway and check.result not in answers:
        return True
    return (check.program, check.syscall, check.result) in context.given_up


def _missed(check: Check, rule: SiteRule, context: Context) -> str | None:
    """Return why this call needs what programs usually do without: it failed in a run that failed,
    or this program cannot do without. None otherwise."""
    refused = rule.refused is not None and not check.granted and (check.result or 0) < 0
    if refused and check.cap not in context.permitted and context.failed:
        return "programs usually go on without it; this run failed"
    return incidental.cannot_do_without(check, context)


def one_question(judged: Sequence[Judged]) -> list[Judged]:
    """Join two refusals that are one question: the kernel checks the second capability after it
    refused the first, and either would have let the call through. If it checked the second one more
    often, some of these checks were alone (a file was opened for writing), and both stay as they
    are."""
    asked: Counter[tuple[object, Cap]] = Counter()
    for item in judged:
        if _refused(item):
            asked[_call(item), item.check.cap] += item.check.count
    first: dict[tuple[object, Cap], set[Cap]] = {}
    for item in judged:
        call, cap = _call(item), item.check.cap
        for second in item.alternatives if _refused(item) else ():
            if 0 < asked[call, second] <= asked[call, cap]:
                first.setdefault((call, second), set()).add(cap)
    return [
        replace(
            item,
            alternatives=(
                *item.alternatives,
                *sorted(first.get((_call(item), item.check.cap), ())),
            ),
        )
        if _refused(item)
        else item
        for item in judged
    ]


def _refused(item: Judged) -> bool:
    return item.effect >= Effect.OPTIONAL and not item.check.granted


def _call(item: Judged) -> tuple[object, ...]:
    return item.check.program, item.check.syscall, item.check.site


_MAPS_ROOT = "mapping root into a user namespace that it made"
_INFERRED = "the kernel makes no check for it: inferred from the call"


def implied(check: Check, rule: SiteRule | None, context: Context) -> Iterable[tuple[Cap, Judged]]:
    """Capabilities that are needed though the kernel never checks them. To map user 0 of the parent
    into a new user namespace, its maker needs SETFCAP (create_user_ns reads the bit itself, since
    Linux 5.12); only root maps its own id 0. Other programs look into their own sets, and end."""
    if rule is not None and check.ns is Namespace.CHILD and check.granted and check.uid == 0:
        for cap in rule.implies:
            yield cap, Judged(check, rule, Effect.NEEDED, _MAPS_ROOT, uncertain=_INFERRED)
    if (demand := incidental.looks_for(check, context)) is not None:
        cap, why = demand
        yield cap, Judged(check, rule, Effect.NEEDED, why, uncertain="inferred from its imports")
