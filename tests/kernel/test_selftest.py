"""``doctor --self-test`` passes here, and fails where something is broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from capadvise.observe.ftrace.probes import RETRY, Observer
from tests.support.nobody import Nobody
from tests.support.runs import CAPADVISE

PACKAGE = Path(__file__).parents[2]
HIDE_SYMBOLS = 'mount --make-rprivate / && mount --bind /dev/null /proc/kallsyms && exec "$@"'


def lines(said: str) -> dict[str, list[str]]:
    """What is said of each way of observing: its words."""
    found = [line.split() for line in said.partition("\n\n")[0].splitlines()[1:]]
    return {words[1]: [words[0], *words[2:]] for words in found if words[0] != "→"}


def self_test(*before: str, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = (sys.executable, "-P", "-m", "capadvise.cli") if environment else (CAPADVISE,)
    return subprocess.run(
        [*before, *argv, "doctor", "--self-test"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_each_way_of_observing_finds_the_known_answer() -> None:
    done = self_test()
    said = lines(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(said) == [*Observer, RETRY]
    needed = "CHOWN, NET_BIND_SERVICE, SYS_CHROOT"
    tried = {
        how: (words[0], " ".join(words[3:])) for how, words in said.items() if words[0] != "--"
    }
    assert tried.pop("retry") == ("ok", needed)
    assert tried
    assert set(tried.values()) == {("ok", f"{needed}; not SYS_ADMIN")}


def test_a_wrong_judgement_fails_it(tmp_path: Path) -> None:
    """A site rule is wrong: what asks for CHOWN is said to ask for its accounting alone."""
    for name in ("capadvise", "catalog"):
        shutil.copytree(PACKAGE / name, tmp_path / name)
    path = tmp_path / "catalog" / "compiled.json"
    compiled = json.loads(path.read_text())
    (rule,) = [rule for rule in compiled["sites"] if rule["id"] == "chown"]
    rule["meaning"] = "advisory"
    path.write_text(json.dumps(compiled))
    done = self_test(PYTHONPATH=str(tmp_path))
    said = lines(done.stdout)
    assert done.returncode == 1
    failed = [how for how, words in said.items() if words[0] == "no"]
    assert failed
    for how in failed:
        assert " ".join(said[how][3:]) == "CHOWN is needed, but was not proposed"
    assert said["retry"][0] == "ok"
    assert f"wrong with: {', '.join(failed)}" in done.stdout
    assert "until this is fixed: CAPADVISE_OBSERVER=retry capadvise run" in done.stdout


def test_a_kernel_that_hides_its_symbols_fails_it_with_the_reason() -> None:
    done = self_test("unshare", "-m", "sh", "-c", HIDE_SYMBOLS, "sh")
    assert done.returncode == 1
    assert "/proc/kallsyms" in done.stdout
    assert "→" in done.stdout
    assert lines(done.stdout)["retry"][0] == "ok"


@pytest.mark.parametrize(
    ("subids", "needed"),
    [("500000:65536", "CHOWN, NET_BIND_SERVICE, SYS_CHROOT"), ("", "NET_BIND_SERVICE, SYS_CHROOT")],
)
def test_an_ordinary_user_has_retries_tested(nobody: Nobody, subids: str, needed: str) -> None:
    done = nobody.capadvise("doctor", "--self-test", subids=subids)
    said = lines(done.stdout)
    assert done.returncode == 0
    assert list(said) == ["tracing", "retry"]
    assert said["tracing"][0] == "--"
    assert (said["retry"][0], " ".join(said["retry"][3:])) == ("ok", needed)
