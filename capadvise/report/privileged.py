"""The powers of a privileged container other than capabilities, and the needs for them in a
recording."""

from collections.abc import Iterator

from capadvise.catalog import Catalog
from capadvise.config.language import Language
from capadvise.judgement.report import Report
from capadvise.model.caps import CapSet
from capadvise.model.escape import printable
from capadvise.model.recording import Check, Namespace


def other_powers(
    report: Report, catalog: Catalog, caps: CapSet, language: Language
) -> tuple[str, ...]:
    """One sentence each on devices, seccomp, MAC, masked paths and cgroups: what was seen that
    needs them, else that it cannot be judged. A recording holds only what was checked;
    trials of a container had none of these."""
    proven = report.proven
    if (
        proven
        and proven.isolation == "container"
        and proven.minimal is not None
        and proven.complete
    ):
        return ("privileged removed: the trials ran without it, and passed",)
    checks = [
        check
        for recording in report.recordings
        for check in recording.checks
        if check.ns is not Namespace.CHILD
    ]
    return (
        "removing privileged also removes more than capabilities:",
        _devices(checks, catalog, language.devices),
        _seccomp(report, checks, catalog, caps, language),
        _mac(report, checks),
        *_paths(checks, catalog),
    )


def _rules(checks: list[Check], catalog: Catalog) -> Iterator[tuple[str, Check]]:
    for check in checks:
        if rule := catalog.sites.match(check.cap, check.place, own_mounts=False):
            yield rule.id, check


def _devices(checks: list[Check], catalog: Catalog, give: str) -> str:
    seen = sorted({rule for rule, _ in _rules(checks, catalog)} & catalog.names["device-sites"])
    if seen:
        return f"devices of the host: used ({', '.join(seen)}); pass them with {give}"
    return (
        "devices of the host: unknown, since opening one is not recorded; if it uses others "
        f"than /dev/null, /dev/zero and similar ones, pass them with {give}"
    )


def _seccomp(
    report: Report, checks: list[Check], catalog: Catalog, caps: CapSet, language: Language
) -> str:
    """Calls that the profile keeps closed under the set that is given."""
    profile = catalog.seccomp.get(language.engine or "", catalog.seccomp["docker"])
    opened = {call for cap in caps for call in profile.opens.get(cap, ())}
    closed = set(profile.never) | {c for calls in profile.opens.values() for c in calls} - opened
    called = {check.syscall for check in checks if check.syscall}
    if any(recording.io_uring for recording in report.recordings):
        called.add("io_uring_setup")
    # These are closed for some arguments alone, which no recording holds.
    closed_calls = sorted(called & closed - {"clone", "clone3", "socket"})
    where = f"; {language.filter_note}" if language.filter_note else ""
    if closed_calls:
        calls = ", ".join(closed_calls)
        return f"seccomp: the default profile refuses {calls}, which it calls{where}"
    return (
        f"seccomp: the default profile refuses none of the recorded calls{where}; calls without "
        "a capability check are not recorded"
    )


def _mac(report: Report, checks: list[Check]) -> str:
    names = {"apparmor", "selinux"}
    active = sorted({name for r in report.recordings for name in r.host.lsm} & names)
    mounts = sorted({c.syscall for c in checks if c.syscall in ("mount", "umount2", "move_mount")})
    more = f"; docker's AppArmor profile refuses {mounts[0]}, which it calls" if mounts else ""
    where = f" ({printable(', '.join(active))} was active there)" if active else ""
    return f"AppArmor, SELinux: unknown from a recording{where}{more}"


def _paths(checks: list[Check], catalog: Catalog) -> Iterator[str]:
    writes = sorted(
        {
            check.program
            for rule, check in _rules(checks, catalog)
            if rule.startswith("sysctl-") and not rule.startswith("sysctl-look")
        }
    )
    if writes:
        yield (
            f"/proc/sys is read-only: {', '.join(writes)} changed a setting there; namespaced "
            "settings can go under sysctls:"
        )
    yield (
        f"{'the rest of ' if writes else ''}/proc and /sys: unknown; some files are now hidden "
        "(/proc/kcore, /proc/keys, /sys/firmware), /proc/sys and /sys are read-only"
    )
    yield "cgroups: unknown; /sys/fs/cgroup is read-only, and cgroups limit devices"
