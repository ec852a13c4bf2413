"""``doctor`` says what is in the way, where something is."""

from __future__ import annotations

import os
import subprocess

import pytest

from capadvise.observe.ftrace import tracefs
from tests.support.nobody import Nobody
from tests.support.runs import CAPADVISE
from tests.support.shown import STAGE

IN_MOUNTS = 'mount --make-rprivate / && eval "$1" && shift && exec "$@"'


def doctor(*before: str, **environment: str) -> tuple[int, dict[str, str], str]:
    """Its exit status, the answer of each probe with its word, and all that it prints."""
    done = subprocess.run(
        [*before, CAPADVISE, "doctor"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.returncode, probes(done.stdout), done.stdout


def probes(text: str) -> dict[str, str]:
    lines = text.partition("\n\n")[0].splitlines()
    facts = [line for line in lines if not line.startswith("    ")]
    return {line[4:20].strip(): f"{line[:2].strip()} {line[20:]}" for line in facts}


def with_mounts(script: str) -> tuple[str, ...]:
    """In mounts of its own, changed by this script."""
    return ("unshare", "--mount", "sh", "-c", IN_MOUNTS, "sh", script)


def over(path: str, text: str) -> str:
    """A script that shows another text in the place of a file of the kernel."""
    it = f"{STAGE}/it"
    return f"mount -t tmpfs none {STAGE} && printf '{text}' >{it} && mount --bind {it} {path}"


def test_here_all_that_is_needed_is_there() -> None:
    code, said, text = doctor()
    assert code == 0
    assert not [line for line in said.values() if line.startswith("no ")]
    assert said["self-check"].startswith("ok seen, ")
    assert "capability checks can be observed here, through the " in text


def test_inside_a_pid_namespace_retries_are_left() -> None:
    code, said, text = doctor("unshare", "--pid", "--fork", "--mount-proc")
    assert code == 0
    assert said["pid namespace"] == "no not the initial one: this looks like a container"
    assert said["observer"].startswith("no this is inside a pid namespace")
    assert "self-check" not in said
    assert "run uses retries only" in text


def test_in_another_network_no_audit_record_is_heard() -> None:
    assert doctor("unshare", "--net")[1]["audit records"].startswith("-- not received")


@pytest.mark.parametrize(
    ("forced", "answer"),
    [
        ("retry", "no CAPADVISE_OBSERVER allows only retries"),
        ("sight", "no CAPADVISE_OBSERVER: 'sight' is none of tracepoint, fprobe, kprobe, retry"),
    ],
)
def test_what_is_forced_and_cannot_be_had_is_said(forced: str, answer: str) -> None:
    assert doctor(CAPADVISE_OBSERVER=forced)[1]["observer"] == answer


@pytest.mark.parametrize(
    ("mode", "answer"),
    [
        ("[none] integrity confidentiality", "ok none"),
        ("none [integrity] confidentiality", "ok integrity"),
        ("none integrity [confidentiality]", "-- confidentiality: root may not trace the kernel"),
    ],
)
def test_the_lockdown_is_read(mode: str, answer: str) -> None:
    script = (
        f"mount -t tmpfs none /sys/kernel/security && echo '{mode}' >/sys/kernel/security/lockdown"
    )
    assert doctor(*with_mounts(script))[1]["lockdown"] == answer


@pytest.mark.parametrize("value", ["2", "3"])
def test_what_perf_needs_is_said(value: str) -> None:
    said = doctor(*with_mounts(over("/proc/sys/kernel/perf_event_paranoid", value)))[1]["perf"]
    assert said.startswith(f"ok kernel.perf_event_paranoid is {value}: capadvise is not hindered")
    assert ("PERFMON is not enough" in said) is (value == "3")


@pytest.mark.parametrize(
    ("table", "answer"),
    [
        ("", "hides the kernel's addresses"),
        ("0000000000000000 T _stext\\n0000000000000000 T cap_capable\\n", "hides the kernel's"),
        ("no table\\n", "is not a symbol table"),
    ],
)
def test_symbols_that_cannot_be_used_are_said(table: str, answer: str) -> None:
    code, said, text = doctor(*with_mounts(over("/proc/kallsyms", table)))
    assert said["kernel symbols"].startswith("no /proc/kallsyms")
    assert answer in said["kernel symbols"]
    assert code == 0
    assert "run uses retries only" in text


def test_where_tracefs_cannot_be_mounted_that_is_said() -> None:
    """As in a container: without SYS_ADMIN."""
    code, said, text = doctor("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
    if not tracefs.MOUNT_POINTS[0].joinpath("instances").is_dir():
        assert said["tracefs"].startswith("no tracefs is not mounted, and root may not mount it")
    assert "SYS_ADMIN" in said["bounding set"]
    assert "a target cannot get what this process lacks" in text
    assert code == 0


@pytest.mark.parametrize(
    ("subids", "answer"),
    [
        ("500000:65536", "ok possible, as root of a user namespace with your subordinate ids"),
        ("", "ok possible, as root of a user namespace with a single id"),
    ],
)
def test_what_retries_can_do_for_an_ordinary_user(nobody: Nobody, subids: str, answer: str) -> None:
    done = nobody.capadvise("doctor", subids=subids)
    said = probes(done.stdout)
    assert done.returncode == 0
    assert said["root"] == "no running as uid 65534"
    assert said["retries"].startswith(answer)


def test_where_an_ordinary_user_may_make_no_user_namespace_nothing_is_left() -> None:
    code, said, text = doctor(
        *with_mounts(over("/proc/sys/user/max_user_namespaces", "0")),
        *("setpriv", "--reuid=65534", "--inh-caps=+dac_read_search"),
        "--ambient-caps=+dac_read_search",
    )
    assert said["retries"].startswith("-- user.max_user_namespaces is 0")
    assert "capability checks cannot be observed here" in text
    assert code == 3
