"""Which observer a kernel has, from what its tracefs says; and whose probes are whose."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from capadvise.kernel import procfs
from capadvise.model.errors import BadInput, CannotObserve
from capadvise.observe.ftrace import probes
from capadvise.observe.ftrace.probes import Observer

FPROBE = "\t           f[:[<group>/][<event>]] <func-name>[%return] [<args>]\n"
ARGUMENTS = "\t     kernel return probes support: $retval, $arg<N>, $comm\n"
UPROBE = "\t   Format: p[:[<group>/][<event>]] <place> [<args>]\n"


def tracefs(
    folder: Path, *, readme: str = UPROBE, kprobes: bool = False, new: bool = False
) -> Path:
    (folder / "README").write_text(readme)
    if kprobes:
        (folder / "kprobe_events").touch()
    if new:
        (folder / "events/capability/cap_capable").mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("name", "readme", "kprobes", "new", "chosen"),
    [
        ("7.3", FPROBE + ARGUMENTS, True, True, Observer.TRACEPOINT),
        ("6.12", FPROBE + ARGUMENTS, True, False, Observer.FPROBE),
        ("6.8", FPROBE, True, False, Observer.KPROBE),
        ("6.1", UPROBE, True, False, Observer.KPROBE),
        ("no kprobes", UPROBE + ARGUMENTS, False, True, Observer.TRACEPOINT),
    ],
)
def test_the_best_that_a_kernel_has(
    tmp_path: Path, name: str, readme: str, kprobes: bool, new: bool, chosen: Observer
) -> None:
    root = tracefs(tmp_path, readme=readme, kprobes=kprobes, new=new)
    assert probes.choose(root) is chosen, name


def test_a_kernel_that_has_none_says_why_of_each(tmp_path: Path) -> None:
    with pytest.raises(CannotObserve, match=r"tracepoint: .*6\.14.*fprobe: .*kprobe: "):
        probes.choose(tracefs(tmp_path))


def test_what_is_forced_is_used_or_refused(tmp_path: Path) -> None:
    root = tracefs(tmp_path, readme=FPROBE + ARGUMENTS, kprobes=True)
    assert probes.choose(root, "kprobe") is Observer.KPROBE
    with pytest.raises(BadInput, match=r"asks for tracepoint, but .*6\.14"):
        probes.choose(root, "tracepoint")
    known = ", ".join([*Observer, "retry"])
    with pytest.raises(BadInput, match=f"'strace' is none of {known}"):
        probes.choose(root, "strace")
    with pytest.raises(CannotObserve, match="allows only retries"):
        probes.choose(root, "retry")


def test_our_own_among_all_probes() -> None:
    text = (
        "p:mine/check cap_capable\n"
        "r256:capadvise/capadvise_returned cap_capable sp=$stack ret=$retval:s32\n"
        "p:capadvise_12_345/check_12_345 cap_capable ns=$arg2 cap=$arg3:s32\n"
        "f256:capadvise_99_1/check_99_1 cap_capable%return ns=$arg2\n"
        "p:kprobes/capadvise_12 do_open\n"
    )
    assert probes.defined(text) == [
        "capadvise/capadvise_returned",
        "capadvise_12_345/check_12_345",
        "capadvise_99_1/check_99_1",
    ]


def test_what_dead_runs_left_is_removed(tmp_path: Path) -> None:
    mine = f"capadvise_{os.getpid()}_{procfs.start_time('self')}/check"
    (tmp_path / "dynamic_events").write_text(
        f"p:{mine} cap_capable\np:capadvise_4194399_7/check_4194399_7 cap_capable\n"
        "r256:capadvise/capadvise_returned cap_capable\np:theirs/check cap_capable\n"
    )
    probes.remove_leftovers(tmp_path)
    said = (tmp_path / "dynamic_events").read_text().split("cap_capable\n")[-1]
    assert said == "-:capadvise_4194399_7/check_4194399_7-:capadvise/capadvise_returned"


def test_missed_probes_are_those_of_this_run(tmp_path: Path) -> None:
    source = probes.source(Observer.KPROBE)
    own = source.check.partition(":")[2]
    (tmp_path / "kprobe_profile").write_text(
        f"  {own}    10   2\n  capadvise_returned   10  3\n  check_1_1  10  100\n"
    )
    assert probes.missed(tmp_path, source) == 5
    assert probes.missed(tmp_path, probes.source(Observer.FPROBE)) == 0
