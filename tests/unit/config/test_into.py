"""``emit --into``: the diff first, then the one file, if it is still what was read."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from capadvise.cli import main
from capadvise.config import LANGUAGES
from capadvise.gate.files import plan
from capadvise.gate.installed import unit_file
from capadvise.model.caps import Cap
from capadvise.model.errors import CannotPatch
from capadvise.model.recording import Check, Lost
from capadvise.model.target import Target
from capadvise.report.privileged import other_powers
from capadvise.report.save import save
from tests.support.patching import USUAL, snippet
from tests.support.recordings import BIND, CATALOG, RECORDING, report

QUIET = replace(
    RECORDING, checks=(BIND,), io_uring=False, lost=Lost(), fixed_capsets=(), refused_calls=()
)
WEB = "services:\n  web:\n    image: nginx\n    privileged: true # for now\n"
PATCHED = (
    "services:\n  web:\n    image: nginx\n    cap_drop:\n      - ALL\n    cap_add:\n      - NET"
)


@pytest.fixture
def saved(tmp_path: Path) -> str:
    path = tmp_path / "report.json"
    save(path, report(QUIET), CATALOG)
    return str(path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    path = tmp_path / "project" / "compose.yml"
    path.write_text(WEB)
    return path


def emit(saved: str, file: Path, *more: str, language: str = "compose") -> int:
    return main(["emit", saved, "--format", language, "--into", str(file), *more])


def test_the_diff_is_shown_and_the_file_written(
    saved: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert emit(saved, file, "--service", "web") == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"--- {file}\n+++ {file}\n@@ -1,4 +1,9 @@\n")
    assert "-    privileged: true # for now\n+    cap_drop:\n" in said.out
    assert f"capadvise: {file}: web: written\n" in said.err
    assert re.sub(r" # capadvise: .*", "", file.read_text()).startswith(PATCHED)
    assert (
        "- ALL # capadvise: the recommended set: recorded once, not proven, 20" in file.read_text()
    )
    assert os.listdir(file.parent) == ["compose.yml"]


def test_the_diff_is_one_that_patch_takes(
    saved: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_bytes(b"services:\r\n  web:\r\n    image:\tx\r\n    privileged: true")
    before = file.read_bytes()
    assert emit(saved, file) == 0
    diff = capsys.readouterr().out
    after = file.read_bytes()
    file.write_bytes(before)
    argv = ["patch", "--binary", "-s", str(file)]
    assert subprocess.run(argv, input=diff.encode(), cwd=file.parent).returncode == 0
    assert file.read_bytes() == after


def test_files_that_compose_joins(
    saved: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What another one gives is said, and an option that it has is not said twice, which docker
    compose refuses."""
    base, override = tmp_path / "compose.yaml", tmp_path / "compose.override.yaml"
    base.write_text("services:\n  web:\n    image: nginx\n    cap_add: [SYS_TIME]\n")
    override.write_text("services:\n  web:\n    cap_add: [NET_RAW]\n")
    assert emit(saved, base, "--service", "web") == 0
    assert "compose.override.yaml gives web NET_RAW, and" in capsys.readouterr().err
    assert emit(saved, override, "--service", "web") == 0
    assert "compose joins" not in capsys.readouterr().err
    texts = base.read_text() + override.read_text()
    assert texts.count("no-new-privileges") == 1
    assert texts.count("ALL") == 2
    assert emit(saved, base, "--service", "web") == 0
    assert "nothing to change" in capsys.readouterr().err


def test_podman_compose_gets_no_tag_that_it_does_not_read(
    saved: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_podman = tmp_path / "podman.json"
    target = Target(
        *("container", "web", ("podman-compose", "up"), str(tmp_path), "0:0"), service="web"
    )
    save(by_podman, replace(report(QUIET), target=target), CATALOG)
    file = tmp_path / "compose.yaml"
    file.write_text(
        "services:\n  base:\n    image: x\n    cap_add: [KILL]\n  web:\n    extends: base\n"
    )
    assert emit(str(by_podman), file, "--service", "web") == 2
    assert "podman-compose does not read" in capsys.readouterr().err
    assert emit(saved, file, "--service", "web") == 0


def test_a_dry_run_writes_nothing(
    saved: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = file.stat()
    assert emit(saved, file, "--dry-run") == 0
    assert "+    cap_drop:" in capsys.readouterr().out
    after = file.stat()  # reading it may have changed st_atime
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)
    assert file.read_text() == WEB


def test_where_nothing_has_to_change_nothing_is_written(
    saved: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert emit(saved, file) == 0
    before = file.stat()
    capsys.readouterr()
    assert emit(saved, file) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.endswith(f"capadvise: {file}: web: nothing to change\n")
    after = file.stat()
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)


def test_mode_link_and_attributes_stay(saved: str, file: Path, tmp_path: Path) -> None:
    file.chmod(0o640)
    os.setxattr(file, "user.note", b"mine")
    if os.geteuid() == 0:
        os.chown(file, 1234, 2345)
    owner = (file.stat().st_uid, file.stat().st_gid)
    link = tmp_path / "link.yml"
    link.symlink_to(file)
    assert emit(saved, link) == 0
    assert link.is_symlink()
    now = file.stat()
    assert (now.st_uid, now.st_gid, stat.S_IMODE(now.st_mode)) == (*owner, 0o640)
    assert os.getxattr(file, "user.note") == b"mine"
    assert file.read_text() != WEB


def test_a_file_that_changed_meanwhile_is_left_alone(file: Path) -> None:
    change = plan(file, LANGUAGES["compose"], None, snippet(USUAL))
    file.write_text(WEB + "    tty: true\n")
    with pytest.raises(CannotPatch, match="has changed since it was read"):
        change.write()
    assert file.read_text() == WEB + "    tty: true\n"
    file.unlink()
    with pytest.raises(CannotPatch):
        change.write()
    assert os.listdir(file.parent) == []


def test_a_drop_in_is_made_once(saved: str, tmp_path: Path) -> None:
    path = tmp_path / "web.service.d" / "caps.conf"
    assert emit(saved, path, "--service", "web", language="systemd") == 0
    assert path.read_text().startswith("[Service]\nCapabilityBoundingSet=\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    change = plan(tmp_path / "web.service.d" / "b.conf", LANGUAGES["systemd"], None, snippet(USUAL))
    assert change.diff().startswith("--- /dev/null\n")
    (tmp_path / "web.service.d" / "b.conf").write_text("mine\n")
    with pytest.raises(CannotPatch, match="has changed since it was read"):
        change.write()


@pytest.mark.parametrize(
    ("content", "more", "said", "hint"),
    [
        (b"services:\n  a: [\n", (), "compose.yml: line 3: ", ""),
        (WEB.encode(), ("--service", "wbe"), "compose.yml: it has no service 'wbe'", "mean web?"),
        (b"services: {a: {}, b: {}}", (), "compose.yml: it has 2 services", "one of: a, b"),
        (b"services: {\xff: 1}", (), "compose.yml: not UTF-8", ""),
        (WEB.encode("utf-16"), (), "compose.yml: not UTF-8", ""),
        (b'services: {"\\e[2J": 1}', (), "compose.yml: service '\\x1b[2J' is not a mapping", ""),
        (b'services: {"\\e[2J": {}, b: {}}', (), "it has 2 services", "one of: \\x1b[2J, b"),
    ],
)
def test_an_error_is_one_line_and_the_file_stays(
    saved: str,
    file: Path,
    content: bytes,
    more: tuple[str, ...],
    said: str,
    hint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file.write_bytes(content)
    assert emit(saved, file, *more) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert hint in captured.err
    assert "\x1b" not in captured.err
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.yml", "No such file"),
        ("", "Is a directory"),
        ("fifo", "a pipe, which is not read as a file"),
    ],
)
def test_what_is_no_file_is_refused(
    saved: str, file: Path, name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(file.parent / "fifo")
    assert emit(saved, file.parent / name) == 2
    assert said in capsys.readouterr().err


def test_a_unit_of_another_name_is_refused(
    saved: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "web.service"
    path.write_text("[Service]\nExecStart=/bin/true\n")
    assert emit(saved, path, "--service", "db", language="systemd") == 2
    assert "it has no service 'db'\ncapadvise: hint: it has: web.service" in capsys.readouterr().err


def test_a_read_only_file_is_left_alone(
    saved: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.chmod(0o444)
    assert emit(saved, file) == 2
    assert "is read-only\ncapadvise: hint: chmod u+w" in capsys.readouterr().err
    assert file.read_text() == WEB


@pytest.mark.skipif(os.geteuid() != 0, reason="root becomes somebody who may not write there")
def test_a_folder_that_one_may_not_write_to() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        file = Path(folder) / "compose.yml"
        file.write_text(WEB)
        file.chmod(0o666)
        change = plan(file, LANGUAGES["compose"], None, snippet(USUAL))
        os.seteuid(65534)
        try:
            with pytest.raises(CannotPatch, match=r"cannot write .*: Permission denied"):
                change.write()
        finally:
            os.seteuid(0)
        assert file.read_text() == WEB


def test_a_terminal_is_not_steered_by_a_diff(
    saved: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text('services:\n  "\\e]0;x": {image: "x"} # \u202e\n')
    assert emit(saved, file) == 0
    said = capsys.readouterr()
    assert "\\u202e" in said.out
    assert "\x1b" not in said.out + said.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--format", "docker", "--into", "x"], "--into cannot patch docker"),
        (["--format", "compose", "--service", "x"], "--service is for --into FILE"),
        (["--format", "compose", "--dry-run"], "--dry-run is for --into FILE"),
        (["--format", "compose", "--into", "x", "-o", "y"], "leave --output out"),
    ],
)
def test_wrong_use_is_named(
    saved: str, argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["emit", saved, *argv]) == 2
    assert said in capsys.readouterr().err


# ------------------------------------------------------------------------------ privileged


def check(cap: str, site: str, syscall: str) -> Check:
    return replace(BIND, cap=Cap.parse(cap), site=("capable", site), syscall=syscall, detail=None)


def powers(*checks: Check, language: str = "compose", io_uring: bool = False) -> str:
    recording = replace(QUIET, checks=checks, io_uring=io_uring)
    made = report(recording)
    return "\n".join(other_powers(made, CATALOG, made.proposal.recommended, LANGUAGES[language]))


def test_what_a_recording_cannot_tell_of_privileged_is_said() -> None:
    said = powers(BIND)
    assert "devices of the host: unknown" in said
    assert "the default profile refuses none" in said
    assert "AppArmor, SELinux: unknown" in said
    assert "/proc and /sys: unknown" in said
    assert "cgroups: unknown" in said


def test_what_it_can_tell_is_said() -> None:
    said = powers(
        check("SYS_ADMIN", "path_mount", "mount"),
        check("SYS_RAWIO", "ksys_ioperm", "ioperm"),
        check("SYS_ADMIN", "proc_dointvec_minmax_sysadmin", "write"),
        io_uring=True,
    )
    assert "devices of the host: used (ioperm)" in said
    assert "the default profile refuses io_uring_setup, which it calls" in said
    assert "AppArmor profile refuses mount, which it calls" in said
    assert "/proc/sys is read-only: nginx changed a setting there" in said
    assert "a device plugin" in powers(BIND, language="kubernetes")


# ------------------------------------------------------------------ a report that saw no start


@pytest.fixture
def attached(tmp_path: Path) -> str:
    path = tmp_path / "attached.json"
    save(path, report(replace(QUIET, attached=True)), CATALOG)
    return str(path)


def test_a_report_that_saw_no_start_does_not_replace_privileged(
    attached: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert emit(attached, file) == 2
    said = capsys.readouterr().err
    assert "not enough to replace all capabilities of web" in said
    assert "--partial" in said
    assert file.read_text() == WEB
    assert emit(attached, file, "--partial") == 0
    assert re.sub(r" # capadvise: .*", "", file.read_text()).startswith(PATCHED)


def test_a_report_that_saw_no_start_adds_to_a_set(
    attached: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = "services:\n  web:\n    image: nginx\n    cap_drop: [ALL]\n    cap_add: [CHOWN]\n"
    file.write_text(held)
    assert emit(attached, file) == 0
    text = file.read_text()
    assert "CHOWN" in text
    assert "NET_BIND_SERVICE" in text
    assert "kept although no need was seen: CHOWN" in capsys.readouterr().err
    assert emit(attached, file, "--partial") == 0
    assert "CHOWN" not in file.read_text()


def test_without_a_set_the_engines_default_is_kept(attached: str, file: Path) -> None:
    file.write_text("services:\n  web:\n    image: nginx\n")
    assert emit(attached, file) == 0
    assert "SETUID" in file.read_text()


def test_the_diff_shows_no_more_than_has_changed(tmp_path: Path) -> None:
    """Many documents that are nearly the same: difflib alone shows others as changed."""
    document = (
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: reviews-v{n}\n  labels:\n    app: reviews\n"
        "    version: v{n}\nspec:\n  containers:\n  - name: reviews\n    image: x:{n}\n"
        "    ports:\n    - containerPort: 9080\n"
    )
    text = "---\n".join(document.format(n=n) for n in range(40))
    (path := tmp_path / "pods.yaml").write_text(text)
    change = plan(path, LANGUAGES["kubernetes"], "Pod/reviews-v7/reviews", snippet(("CHOWN",)))
    changed = [line for line in change.diff().splitlines()[2:] if line[:1] in ("+", "-")]
    old, new = text.splitlines(), change.patched.text.splitlines()
    assert len(changed) == len(new) - len(old) == 6


POD = "kind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n    - name: web\n      image: x\n"


@pytest.mark.parametrize("was", [True, False, None])
def test_a_pod_that_was_privileged_is_told_not_to_be(tmp_path: Path, *, was: bool | None) -> None:
    """Though the file does not say that it was: an object in the cluster may, that was made of
    another one, and a file that says nothing of it leaves it so."""
    (path := tmp_path / "pod.yaml").write_text(POD)
    made = report(QUIET)
    save(
        saved := tmp_path / "r.json",
        replace(made, target=replace(made.target, privileged=was)),
        CATALOG,
    )
    assert emit(str(saved), path, language="kubernetes") == 0
    assert ("privileged: false" in path.read_text()) is (was is True)
    assert emit(str(saved), path, language="kubernetes") == 0
    assert path.read_text().count("privileged:") == (was is True)


def unit_report(tmp_path: Path) -> str:
    path = tmp_path / "unit.json"
    made = report(QUIET)
    argv = ("systemctl", "restart", "capadvise-web@a.service")
    target = replace(made.target, kind="unit", name="capadvise-web@a", argv=argv)
    save(path, replace(made, target=target), CATALOG)
    return str(path)


def test_the_drop_in_of_a_unit_needs_no_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["emit", unit_report(tmp_path), "--drop-in", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    place = "/etc/systemd/system/capadvise-web@a.service.d/capadvise.conf"
    assert shown.startswith(f"--- /dev/null\n+++ {place}\n")
    assert "+CapabilityBoundingSet=CAP_NET_BIND_SERVICE\n" in shown
    assert not Path(place).exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--drop-in"], "it is no recording of a systemd unit"),
        ([], "--format is missing"),
        (["--drop-in", "--format", "compose"], "leave --into and other formats out"),
        (["--drop-in", "--into", "a.service"], "leave --into and other formats out"),
        (["--drop-in", "-o", "a.conf"], "leave --output out"),
    ],
)
def test_where_a_drop_in_cannot_be(
    words: list[str], said: str, saved: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["emit", saved, *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "file"),
    [("web.service", "etc/web.service"), ("web@a.service", "usr/web@.service"), ("db.service", "")],
)
def test_the_file_of_a_unit(name: str, file: str, tmp_path: Path) -> None:
    """The first one of its name; of an instance, its template's; none that is masked."""
    folders = [str(tmp_path / each) for each in ("etc", "usr")]
    for folder in folders:
        Path(folder).mkdir()
    for each in ("etc/web.service", "usr/web.service", "usr/web@.service", "usr/db.service"):
        (tmp_path / each).write_text("[Service]\n")
    (tmp_path / "etc/db.service").symlink_to("/dev/null")
    assert unit_file(name, folders) == (str(tmp_path / file) if file else None)


REDIS = "[Service]\nExecStart=/usr/bin/redis-server /etc/redis.conf\nUser=redis\n"


def test_a_set_of_another_program_is_not_put_into_a_file(
    saved: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report describes nginx. With the option it is patched, and a note says that it is not."""
    unit = tmp_path / "myd.service"
    unit.write_text(REDIS)
    compose = tmp_path / "compose.yaml"
    compose.write_text("services:\n  db:\n    image: redis\n")
    for path, language in (unit, "systemd"), (compose, "compose"):
        before = path.read_text()
        assert emit(saved, path, language=language) == 2
        said = capsys.readouterr().err
        assert "the report describes nginx, and this runs redis" in said
        assert "--other-program" in said
        assert path.read_text() == before
        assert emit(saved, path, "--other-program", language=language) == 0
        assert "the report describes nginx, and this runs redis" in capsys.readouterr().err
        assert "NET_BIND_SERVICE" in path.read_text()


def test_a_drop_in_is_of_the_program_of_its_unit(
    saved: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "myd.service").write_text(REDIS)
    drop_in = tmp_path / "myd.service.d" / "capadvise.conf"
    drop_in.parent.mkdir()
    assert emit(saved, drop_in, language="systemd") == 2
    assert "this runs redis-server" in capsys.readouterr().err
    assert not drop_in.exists()


def test_a_set_of_root_that_makes_another_user_root_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.json"
    setuid = replace(BIND, cap=Cap.parse("SETUID"))
    save(path, report(replace(QUIET, checks=(setuid,))), CATALOG)
    unit = tmp_path / "web.service"
    unit.write_text("[Service]\nExecStart=/usr/sbin/nginx\nUser=www-data\n")
    assert emit(str(path), unit, "--other-program", language="systemd") == 2
    said = capsys.readouterr().err
    assert "SETUID in AmbientCapabilities= would make root" in said
    assert "capadvise run --user www-data" in said
    assert "SETUID" not in unit.read_text()
