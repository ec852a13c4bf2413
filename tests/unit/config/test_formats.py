"""Every format: what it says, that it is read again, and that hostile words stay words."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic_sarif.model import StaticAnalysisResultsFormatSarifVersion210JsonSchema as Sarif

from capadvise.catalog import default
from capadvise.config import LANGUAGES
from capadvise.config.declared import Declared
from capadvise.config.snippet import Snippet
from capadvise.config.snippet_from import snippet_of
from capadvise.model.caps import NAMES, Cap, CapSet, parse_set
from capadvise.model.errors import BadInput
from capadvise.model.target import Target
from capadvise.report.pages import FORMATS
from tests.support.golden import assert_golden
from tests.support.readers import DECLARED, read
from tests.support.recordings import report, snippet_with
from tests.support.weakening import weakened

ALL = frozenset(map(Cap, range(len(NAMES))))
CONFIGURATIONS = sorted(DECLARED)
BIND = parse_set(["NET_BIND_SERVICE"])
SETS = st.frozensets(st.sampled_from(sorted(ALL)))
USERS = st.sampled_from(["0:0", "33:33", "1000", "65534:0", "0"])
HOSTILE = "x: {y}\n  - !!python/object ${HOME} $(id) `id` %n # \x1b[31m '\" \\"


def rendered(name: str) -> str:
    """What a format gives for a report."""
    whole = report()
    whole = replace(whole, target=replace(whole.target, user="33:33"))
    caps = BIND if name == "setcap" else whole.proposal.recommended  # it refuses NET_ADMIN
    return FORMATS[name].render(snippet_of(whole, caps, default()))


@pytest.mark.parametrize("name", ["compose", "kubernetes", "systemd"])
def test_what_has_not_seen_a_start_says_so(name: str) -> None:
    """Else a set that can only be added to others would look like the whole."""
    whole = report()
    partial = replace(whole, recordings=tuple(replace(r, attached=True) for r in whole.recordings))
    text = FORMATS[name].render(snippet_of(partial, whole.proposal.recommended, default()))
    said = "the recommended set: recorded in part"
    assert said in text
    assert "its start was not observed" in text.replace("\n#   ", " ")
    assert "recorded in part" not in rendered(name)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_golden(name: str) -> None:
    assert_golden(f"{name}.txt", rendered(name))


@given(caps=SETS, user=USERS, setid_exec=st.booleans())
def test_what_is_rendered_is_read_again(caps: CapSet, user: str, setid_exec: bool) -> None:
    snippet = snippet_with(caps, user=user, setid_exec=setid_exec)
    root = user in ("0", "0:0")
    for name in CONFIGURATIONS:
        (declared,) = read(name, FORMATS[name].render(snippet))
        assert parse_set(declared.add) == caps, name
        assert [cap.upper() for cap in declared.drop] == ["ALL"], name
        assert not declared.privileged, name
        assert declared.unresolved == (), name
        if name != "systemd" and (not root or name == "oci"):
            uid, _, gid = (declared.user or "").partition(":")
            assert (uid, gid) == (user.partition(":")[0], user.partition(":")[2] or gid), name
        else:
            assert declared.user is None, name
        if name in ("systemd", "oci"):
            assert parse_set(declared.ambient or ()) == (frozenset() if root else caps), name


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("caps", [frozenset(), ALL, frozenset({Cap(55)})], ids=["none", "41", "55"])
def test_nothing_everything_and_the_unknown(name: str, caps: CapSet) -> None:
    (declared,) = read(name, FORMATS[name].render(snippet_with(caps)))
    assert parse_set(declared.add) == caps


@pytest.mark.parametrize("text", [HOSTILE, "\x00", "--", "# \\", "\ud800", "true", "y", "7", ""])
def test_hostile_words_stay_words(text: str) -> None:
    caps = parse_set(["SYS_CHROOT", "NET_RAW"])
    plain = snippet_with(caps, name="app", user="33:33")
    hostile = snippet_with(caps, name=text, user="33:33")
    hostile = replace(hostile, notes=(*hostile.notes, _line(text)), argv=(text, text))
    hostile = replace(hostile, caps=tuple((cap, _line(text)) for cap, _ in hostile.caps))
    for name, kind in FORMATS.items():
        shown = kind.render(hostile)
        assert "\x1b" not in shown, name
        shown.encode()
        if name in DECLARED:
            (was,) = read(name, kind.render(plain))
            (now,) = read(name, shown)
            assert _essence(now) == _essence(was), name


def _line(text: str) -> str:
    """A reason or a note, as it gets into a snippet."""
    whole = report()
    caution = replace(whole, proposal=replace(whole.proposal, cautions=(text,)))
    return snippet_of(caution, frozenset(), default()).cautions[0]


def _essence(declared: Declared) -> Declared:
    return replace(declared, service="", line=1, lines=())


@pytest.mark.parametrize("name", ["true", "NO", "7", "1.5", "null", "-", "a b", "é", "x" * 300, ""])
def test_a_service_is_called_by_a_name_that_everybody_takes(name: str) -> None:
    text = LANGUAGES["compose"].render(snippet_with(frozenset(), name=name))
    (service,) = yaml.safe_load(text)["services"]
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,62}", service)
    text = LANGUAGES["kubernetes"].render(snippet_with(frozenset(), name=name))
    assert re.fullmatch(
        r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", yaml.safe_load(text)["metadata"]["name"]
    )


@pytest.mark.parametrize("user", ["33:33\nprivileged: true", "a b", "-1", ":", "0:0:0", "$(id)"])
def test_a_user_that_is_none_is_refused(user: str) -> None:
    with pytest.raises(BadInput, match="is not of the form uid:gid"):
        snippet_with(BIND, user=user)


def _compose(snippet: Snippet) -> dict[str, object]:
    (service,) = yaml.safe_load(LANGUAGES["compose"].render(snippet))["services"].values()
    found: dict[str, object] = service
    return found


def test_compose_for_root() -> None:
    assert _compose(snippet_with(BIND)) == {
        "privileged": False,
        "cap_drop": ["ALL"],
        "cap_add": ["NET_BIND_SERVICE"],
        "security_opt": ["no-new-privileges:true"],
    }


def test_a_low_port_for_another_user_is_a_matter_of_a_sysctl() -> None:
    assert _compose(snippet_with(BIND, user="33:33")) == {
        "user": "33:33",
        "privileged": False,
        "cap_drop": ["ALL"],
        "cap_add": ["NET_BIND_SERVICE"],
        "security_opt": ["no-new-privileges:true"],
        "sysctls": {"net.ipv4.ip_unprivileged_port_start": 0},
    }


def test_where_file_capabilities_are_the_way_new_privileges_stay_allowed() -> None:
    caps = parse_set(["CHOWN", "MKNOD"])
    assert _compose(snippet_with(caps, user="33")) == {
        "user": "33",
        "cap_drop": ["ALL"],
        "cap_add": ["CHOWN", "MKNOD"],
    }
    assert "setcap cap_chown,cap_mknod=ep PROGRAM" in LANGUAGES["compose"].render(
        snippet_with(caps, user="33")
    )


@pytest.mark.parametrize("name", ["compose", "docker", "podman", "quadlet", "systemd"])
def test_after_a_set_id_program_new_privileges_are_not_forbidden(name: str) -> None:
    (declared,) = read(name, FORMATS[name].render(snippet_with(BIND, setid_exec=True)))
    assert declared.no_new_privileges is None
    (declared,) = read(name, FORMATS[name].render(snippet_with(BIND)))
    assert declared.no_new_privileges is True


@pytest.mark.parametrize("name", ["compose", "docker", "podman", "quadlet", "systemd", "oci"])
@pytest.mark.parametrize("how", ["attached", "retry", "audit"])
def test_where_not_all_that_starts_was_seen_new_privileges_are_left_alone(
    name: str, how: str
) -> None:
    whole = report()
    seen = whole.recording
    host = replace(seen.host, observer=seen.host.observer if how == "attached" else how)
    seen = replace(seen, attached=how == "attached", host=host)
    text = FORMATS[name].render(snippet_of(replace(whole, recordings=(seen,)), BIND, default()))
    assert "new-priv" not in text.lower()
    assert "noNewPrivileges" not in text
    assert "no_new_privs left out: not all that it starts was seen" in text


@pytest.mark.parametrize(
    ("caps", "user", "changes", "level"),
    [
        ([], "33:33", {}, "restricted"),
        (["NET_BIND_SERVICE"], "33:33", {}, "restricted"),
        (["NET_BIND_SERVICE"], "33:33", {"setid_exec": True}, "baseline"),
        (["NET_BIND_SERVICE"], "33:33", {"io_uring": True}, "baseline"),
        (["NET_BIND_SERVICE"], "0:0", {}, "baseline"),
        (["NET_BIND_SERVICE"], "www-data", {}, "baseline"),
        (["CHOWN"], "33:33", {}, "baseline"),
        (["NET_RAW"], "0:0", {}, "privileged"),
        (["SYS_ADMIN"], "0:0", {}, "privileged"),
    ],
)
def test_the_pod_security_level_is_named(
    caps: list[str], user: str, changes: dict[str, bool], level: str
) -> None:
    text = LANGUAGES["kubernetes"].render(snippet_with(parse_set(caps), user=user, **changes))
    assert text.startswith(f"# This patch allows the Pod Security level {level}\n")


def test_a_pod_for_another_user() -> None:
    pod = yaml.safe_load(LANGUAGES["kubernetes"].render(snippet_with(BIND, user="33:34")))
    assert pod["spec"]["template"]["spec"] == {
        "securityContext": {
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
        },
        "containers": [
            {
                "name": "nginx",
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 33,
                    "runAsGroup": 34,
                    "privileged": False,
                    "allowPrivilegeEscalation": False,
                    "seccompProfile": {"type": "RuntimeDefault"},
                    "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
                },
            }
        ],
    }


def test_the_user_of_a_process_that_was_found_is_not_emitted() -> None:
    """As whom its container begins, nobody knows."""
    found = replace(snippet_with(BIND, user="33:34"), of_process=True)
    assert "runAs" not in LANGUAGES["kubernetes"].render(found)


@pytest.mark.parametrize(
    ("kind", "words", "noted"),
    [
        ("command", ("nginx",), True),
        ("container", ("docker", "run", "nginx"), False),
        ("container", ("docker", "run", "--user=0", "nginx"), True),
    ],
)
def test_a_container_that_began_as_root_does_so_again(
    kind: str, words: tuple[str, ...], noted: bool
) -> None:
    seen = report()
    target = replace(seen.target, kind=kind, argv=words)
    text = LANGUAGES["compose"].render(
        snippet_of(replace(seen, target=target), parse_set(["CHOWN"]), default())
    )
    assert ("recorded as root" in text) is noted


def test_the_kernel_takes_sys_admin_for_escalation() -> None:
    """The API server refuses allowPrivilegeEscalation: false beside CAP_SYS_ADMIN."""
    text = LANGUAGES["kubernetes"].render(snippet_with(parse_set(["SYS_ADMIN"])))
    assert "allowPrivilegeEscalation" not in text


def test_a_low_port_that_asked_for_nothing_asks_elsewhere() -> None:
    whole = report()
    start = {"net.ipv4.ip_unprivileged_port_start": "0"}
    whole = replace(whole, posture=replace(whole.posture, sysctls=start))
    for name in CONFIGURATIONS:
        text = FORMATS[name].render(snippet_of(whole, frozenset(), default()))
        assert "ip_unprivileged_port_start is 0: elsewhere" in " ".join(text.split())


@pytest.mark.parametrize("argv", [("/bin/a b", "$(id)", "it's"), ("a\n\x1bb", "\\'\x07", "\udcff")])
def test_the_shell_makes_the_same_words_again(argv: tuple[str, ...]) -> None:
    command = LANGUAGES["setpriv"].render(replace(snippet_with(frozenset()), argv=argv, notes=()))
    shown = command.replace("setpriv ", "printf '%s\\0' ", 1)
    done = subprocess.run(["bash", "-c", shown], capture_output=True, check=True)
    words = done.stdout.decode(errors="surrogateescape").split("\0")[:-1]
    assert tuple(words[words.index("--") + 1 :]) == argv


def test_setcap_gets_the_file_behind_the_name(tmp_path: Path) -> None:
    program = tmp_path / "real"
    program.touch(mode=0o755)
    (tmp_path / "my $prog").symlink_to(program)
    text = LANGUAGES["setcap"].render(replace(snippet_with(BIND), argv=("my $prog",)))
    script = f"PATH=$PATH:{tmp_path}; setcap() {{ printf '%s|' \"$@\"; }}; {text}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.stdout == f"cap_net_bind_service=ep|{program}|"


@pytest.mark.parametrize("program", ["python3", "bash", "/usr/bin/env", "busybox", "x/server.py"])
def test_setcap_refuses_what_runs_others(program: str) -> None:
    with pytest.raises(BadInput, match="setcap is refused: "):
        LANGUAGES["setcap"].render(replace(snippet_with(BIND), argv=(program, "x")))


def test_setcap_looks_at_the_file_behind_the_name(tmp_path: Path) -> None:
    """A link to an interpreter, and a script without an ending."""
    (tmp_path / "server").symlink_to(sys.executable)
    (tmp_path / "script").write_text("#!/bin/true\n")
    for name in ("server", "script"):
        with pytest.raises(BadInput, match="setcap is refused: "):
            LANGUAGES["setcap"].render(replace(snippet_with(BIND), argv=(str(tmp_path / name),)))


@pytest.mark.parametrize("cap", ["SETUID", "CHOWN", "DAC_OVERRIDE", "SYS_ADMIN", "NET_ADMIN"])
def test_setcap_makes_nobody_root(cap: str) -> None:
    with pytest.raises(BadInput, match=f"would have {cap}, which is root"):
        LANGUAGES["setcap"].render(snippet_with(parse_set([cap])))


@given(caps=SETS, user=USERS)
def test_no_format_advises_what_weakens(caps: CapSet, user: str) -> None:
    snippet = snippet_with(caps, user=user)
    for name in CONFIGURATIONS:
        if name != "systemd" and name != "oci":  # there the set is its own user's, as recorded
            assert not weakened(FORMATS[name].render(snippet)), name


@pytest.mark.parametrize(
    ("kind", "argv"),
    [
        ("container", ("docker", "run", "web")),
        ("container", ("sudo", "-u", "ann", "/usr/bin/podman", "run", "web")),
        ("container", ("docker-compose", "up")),
        ("unit", ("systemctl", "restart", "web.service")),
    ],
)
def test_a_client_is_not_the_program(kind: str, argv: tuple[str, ...]) -> None:
    """With file capabilities, anybody's docker would have them; restricted, it starts the same."""
    made = snippet_of(
        replace(report(), target=Target(kind, "web", argv, "/", "0:0")), BIND, default()
    )
    assert (
        LANGUAGES["setcap"].render(made).splitlines()[-1]
        == "setcap cap_net_bind_service=ep PROGRAM"
    )
    with pytest.raises(BadInput, match="would restrict"):
        LANGUAGES["setpriv"].render(made)


def test_what_was_attached_to_is_its_own_program() -> None:
    target = Target("container", "web", ("nginx", "-g", "daemon off;"), "/", "0:0")
    made = snippet_of(replace(report(), target=target), BIND, default())
    assert "-- nginx -g" in LANGUAGES["setpriv"].render(made)
    assert "command -v -- nginx" in LANGUAGES["setcap"].render(made)


def test_json_says_the_set() -> None:
    said = json.loads(FORMATS["json"].render(snippet_with(BIND)))
    assert (said["cap_drop"], said["cap_add"]) == (["ALL"], ["NET_BIND_SERVICE"])
    assert [need["risk"] for need in said["needs"]] == ["low"]


@pytest.mark.parametrize("caps", [frozenset(), ALL, frozenset({Cap(55)})], ids=["none", "41", "55"])
def test_sarif_keeps_to_its_schema(caps: CapSet) -> None:
    """The model is made from the schema of SARIF 2.1.0; it refuses unknown keys and values."""
    log = Sarif.model_validate_json(FORMATS["sarif"].render(snippet_with(caps)))
    assert [result.ruleId for result in log.runs[0].results or ()] == [
        cap.name for cap in sorted(caps)
    ]


def test_sarif_tells_the_risk_by_its_level() -> None:
    caps = parse_set(["NET_BIND_SERVICE", "CHOWN", "NET_ADMIN", "SYS_ADMIN"])
    results = json.loads(FORMATS["sarif"].render(snippet_with(caps)))["runs"][0]["results"]
    assert {result["ruleId"]: result["level"] for result in results} == {
        "CAP_NET_BIND_SERVICE": "note",
        "CAP_CHOWN": "warning",
        "CAP_NET_ADMIN": "error",
        "CAP_SYS_ADMIN": "error",
    }


def test_a_table_cell_holds_text_alone() -> None:
    caps = parse_set(["CHOWN"])
    evil = "a | b <img src=x> [click](http://x) `x`"
    hostile = snippet_with(caps)
    assert hostile.report is not None
    proposal = hostile.report.proposal
    need = replace(proposal.need(Cap.parse("CHOWN")), lost_without=evil)
    report = replace(hostile.report, proposal=replace(proposal, needs=(need,)))
    hostile = replace(hostile, report=report)
    (row,) = (line for line in FORMATS["markdown"].render(hostile).splitlines() if "CHOWN" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == 7
    assert not re.search(r"(?<!\\)[<`\[]", row)
