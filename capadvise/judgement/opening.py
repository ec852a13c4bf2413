"""An opening: the smallest additions to an engine's default seccomp profile with which a container
works without a capability. Most containers have SYS_ADMIN only because the profile opens calls for
it that the kernel allows everybody in a user namespace of their own. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

from capadvise.catalog import Catalog
from capadvise.judgement.refusals import refusals
from capadvise.model.caps import Cap, CapSet
from capadvise.model.clone_flags import CLONE_NEWUSER, NAMES
from capadvise.model.companion import UNMASKED, Companion
from capadvise.model.errors import BadInput
from capadvise.model.posture import Mac
from capadvise.model.recording import Check, Namespace, Recording, RefusedBy
from capadvise.model.seccomp_profile import UNFILTERABLE, OpenedCall, SeccompProfile, profile_name
from capadvise.model.wording import counted, set_text


class Additions(NamedTuple):
    """Additions to an engine's defaults for one container."""

    calls: frozenset[OpenedCall] = frozenset()
    unmasked: bool = False
    """Nothing of /proc and /sys is hidden or read-only: else the kernel lets nobody mount another
    /proc (mount_too_revealing() of fs/namespace.c)."""

    @property
    def companions(self) -> tuple[Companion, ...]:
        """The same as companions of a set."""
        masks = (UNMASKED,) if self.unmasked else ()
        return (Companion.of_calls(sorted(self.calls)), *masks)

    @property
    def names(self) -> frozenset[str]:
        """The calls, without what they may do."""
        return frozenset(one.call for one in self.calls)

    def plus(self, calls: Iterable[str]) -> Additions:
        """With these calls as a whole."""
        new = (OpenedCall.whole(call) for call in set(calls) - self.names - UNFILTERABLE)
        return self._replace(calls=self.calls.union(new))

    def narrowed(self, flags: int) -> Additions:
        """With no other kinds of namespaces than these."""
        calls = (replace(one, flags=one.flags & flags) for one in self.calls)
        return self._replace(calls=frozenset(calls))

    def smaller(self) -> Iterator[tuple[str, Additions]]:
        """(what is left out, the rest) for each member."""
        if self.unmasked:
            yield UNMASKED.words, self._replace(unmasked=False)
        for one in sorted(self.calls):
            others = self.calls - {one}
            yield one.call, self._replace(calls=others)
            for bit in one.kinds if len(one.kinds) > 1 else ():
                less = replace(one, flags=one.flags & ~bit)
                yield f"{one.call} {NAMES[bit]}", self._replace(calls=others | {less})


@dataclass(frozen=True, slots=True)
class Opening:
    """The result of the trials without a capability."""

    without: Cap
    caps: CapSet
    """The set that is left."""
    calls: tuple[OpenedCall, ...]
    unmasked: bool
    engine: str
    """``docker 26.1.5``: whose default profile it is about."""
    profile: SeccompProfile | None
    """That profile, for a container with this set; None: the target does not work without."""
    needed: tuple[tuple[str, str], ...] = ()
    """(member, how the target fails without it)."""
    forbidden: str = ""
    """The use that forbids it, in a sentence; empty if it works."""
    refused_by_mac: tuple[str, ...] = ()
    """Calls that the engine's AppArmor profile refuses, on hosts that have it: this one has not."""
    trials: int = 0

    @property
    def beside(self) -> tuple[str, ...]:
        """The companions of its set, as trials name them."""
        more = Additions(frozenset(self.calls), self.unmasked)
        return tuple(one.words for one in more.companions)

    @property
    def added(self) -> tuple[str, ...]:
        """Each member in words, and nothing of the default."""
        return (*map(str, self.calls), *([UNMASKED.words] if self.unmasked else []))

    @property
    def headline(self) -> str:
        """``no capability with 2 calls opened (likely)``."""
        left = set_text(self.caps) if self.caps else "no capability"
        how = "likely" if self.doubt else "proven"
        return f"{left} with {counted(len(self.calls), 'call')} opened ({how})"

    @property
    def sentence(self) -> str:
        """The answer in a sentence."""
        name, left = self.without.short, set_text(self.caps) if self.caps else "no capability"
        if self.profile is None:
            return f"It does not work without {name}: {self.forbidden}."
        text = f"Without {name} it needs {left}, if {self.engine}'s default also allows "
        text += ", ".join(map(str, self.calls)) or "nothing more"
        text += f", with {UNMASKED.words}" * self.unmasked + f": {counted(self.trials, 'trial')}"
        return f"{text}."

    @property
    def doubt(self) -> str | None:
        """The reason why it may fail on other hosts."""
        calls = ", ".join(self.refused_by_mac)
        name = _APPARMOR.get(self.engine.partition(" ")[0], "the engine's profile")
        return f"tried without AppArmor; {name} refuses: {calls}" if calls else None

    @property
    def makes_users(self) -> bool:
        """True if everybody in the container may make user namespaces then."""
        return any(one.flags & CLONE_NEWUSER for one in self.calls)

    @property
    def filter(self) -> SeccompProfile:
        """The whole profile: the default with the calls."""
        assert self.profile is not None
        return self.profile.opened(self.calls)

    def is_in(self, filters: Iterable[object]) -> bool:
        """True if one of these profiles, as files have them, allows all that this one does."""
        if self.profile is None:
            return False
        for raw in filters:
            with suppress(BadInput):
                allowed = SeccompProfile.parse(raw).allowed()
                mine = self.filter.allowed().items()
                return all(ways <= allowed.get(call, frozenset()) for call, ways in mine)
        return False


_APPARMOR = {"docker": "docker-default", "podman": "containers-default"}


def recorded_calls(recordings: Iterable[Recording], profile: SeccompProfile) -> frozenset[str]:
    """The recorded calls below a user namespace of the target's own that the profile refuses: their
    checks ask for no capability of the container."""
    calls = (profile_name(check.syscall or "") for check in _in_own(recordings))
    return frozenset(call for call in calls if call and profile.refuses(call))


def made_namespaces(recordings: Iterable[Recording]) -> int:
    """The kinds of namespaces that were seen to be made, as flags; a user namespace shows in no
    check."""
    flags = CLONE_NEWUSER
    for check in _in_own(recordings):
        flags |= dict(check.args).get("flags", 0)
    return flags


def _in_own(recordings: Iterable[Recording]) -> Iterator[Check]:
    for recording in recordings:
        yield from (check for check in recording.checks if check.ns is Namespace.CHILD)


def filtered_calls(recordings: Iterable[Recording]) -> frozenset[str]:
    """The calls that a seccomp profile has refused."""
    refused = (call for recording in recordings for call in recording.refused_calls)
    return frozenset(profile_name(call.syscall) for call in refused if call.entered is False)


def forbidding_use(
    recordings: Iterable[Recording], cap: Cap, catalog: Catalog, mac: Mac | None
) -> str | None:
    """The use of a capability that failed for lack of it, although every call was open."""
    for recording in recordings:
        for one in refusals(recording, catalog, mac):
            by_kernel = one.by in (RefusedBy.CAPABILITY, RefusedBy.NAMESPACE)
            if by_kernel and cap.short in one.evidence:
                what = one.evidence.partition(f": {cap.short}")[0]
                return f"{one.program} calls {one.syscall}: {what}"
    return None
