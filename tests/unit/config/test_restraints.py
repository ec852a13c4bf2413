"""``emit --into`` writes what ``emit`` writes: no new privileges and the default seccomp filter,
where the recording shows no harm; and it changes nobody else unasked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from capadvise.cli import main
from capadvise.config import LANGUAGES
from capadvise.config.quadlet import QUADLET
from capadvise.config.snippet import Snippet
from capadvise.config.snippet_from import snippet_of
from capadvise.gate.files import plan, unified
from capadvise.model.caps import Cap
from capadvise.model.errors import BadInput
from capadvise.model.target import Target
from capadvise.report.load import load
from capadvise.report.save import save
from tests.support.patching import snippet
from tests.support.recordings import CATALOG, RECORDING, report

SAFE = replace(snippet(("CHOWN",)), no_new_privileges=True, default_seccomp=True)
POD = "kind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: c\n    image: x\n"
DONE = "      capabilities:\n        drop: [ALL]\n        add: [CHOWN]\n"


def patched(language: str, text: str, service: str | None = None) -> str:
    new = LANGUAGES[language].patch(text, service, SAFE).text
    assert LANGUAGES[language].patch(new, service, SAFE).text == new
    return new


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", "    security_opt:\n      - no-new-privileges:true\n"),
        (
            "    security_opt:\n      - label=disable # why\n",
            "      - label=disable # why\n      - no-new-privileges:true\n",
        ),
        ("    security_opt: [a=b]\n", "    security_opt: [a=b, no-new-privileges:true]\n"),
        (
            "    security_opt:\n      - no-new-privileges:false\n",
            "    security_opt:\n      - no-new-privileges:true\n",
        ),
        ("    security_opt: [no-new-privileges]\n", "    security_opt: [no-new-privileges]\n"),
        ("    security_opt: []\n", "    security_opt:\n      - no-new-privileges:true\n"),
        (
            "    security_opt: !reset [a=b]\n",
            "    security_opt: !override\n      - no-new-privileges:true\n",
        ),
        (
            "    security_opt: !override [a=b]\n",
            "    security_opt: !override\n      - a=b\n      - no-new-privileges:true\n",
        ),
    ],
)
def test_compose(options: str, expected: str) -> None:
    text = f"services:\n  web:\n    image: x\n{options}    tty: true\n  db:\n    image: y\n"
    new = patched("compose", text, "web")
    assert expected in new
    assert new.endswith("\n  db:\n    image: y\n")
    assert LANGUAGES["compose"].read(new)[0].no_new_privileges


@pytest.mark.parametrize(
    ("base", "added"),
    [("", 1), ("security_opt: [a=b]", 1), ("security_opt: ['no-new-privileges:true']", 0)],
)
def test_what_is_inherited_is_not_said_again(base: str, added: int) -> None:
    """Docker compose refuses it: items of security_opt must be unique."""
    text = f"services:\n  base: {{image: x, {base}}}\n  web:\n    extends: base\n"
    new = patched("compose", text, "web")
    assert new.count("no-new-privileges:true") == text.count("no-new-privileges:true") + added


def test_what_another_file_may_say_is_left_to_it() -> None:
    text = "services:\n  web:\n    extends: {file: a.yaml, service: base}\n"
    done = LANGUAGES["compose"].patch(text, "web", SAFE)
    assert "no-new-privileges" not in done.text
    assert "in another file, which may say no-new-privileges already" in done.notes[-1]


def test_what_an_heir_says_is_not_said_to_it_again() -> None:
    options = "security_opt: ['no-new-privileges:true']"
    text = f"services:\n  base: {{image: x}}\n  web: {{extends: base, {options}}}\n"
    assert patched("compose", text, "base").count("no-new-privileges:true") == 1


def test_options_that_several_share_stay_those_of_the_others() -> None:
    text = (
        "x: &o\n  security_opt: &s [a=b]\nservices:\n  web:\n    <<: *o\n    image: x\n"
        "  db:\n    image: x\n    security_opt: *s\n"
    )
    new = patched("compose", text, "web")
    web, db = LANGUAGES["compose"].read(new)
    assert (web.no_new_privileges, db.no_new_privileges) == (True, None)
    assert new.startswith("x: &o\n  security_opt: &s [a=b]\n")


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ("", ["allowPrivilegeEscalation: false", "type: RuntimeDefault"]),
        (f"    securityContext:\n{DONE}", ["allowPrivilegeEscalation: false", "RuntimeDefault"]),
        (
            "    securityContext: {allowPrivilegeEscalation: true, privileged: true}\n",
            ["privileged: false", "allowPrivilegeEscalation: false", "RuntimeDefault"],
        ),
        (
            "    securityContext:\n      seccompProfile: {type: Unconfined}\n",
            ["type: RuntimeDefault"],
        ),
        (
            "    securityContext:\n      seccompProfile:\n        type: Localhost\n"
            "        localhostProfile: a.json\n",
            ["type: Localhost", "localhostProfile: a.json"],
        ),
    ],
)
def test_kubernetes(context: str, expected: list[str]) -> None:
    new = patched("kubernetes", POD + context)
    assert all(line in new for line in expected), new
    assert "Unconfined" not in new
    assert "privileged: true" not in new
    assert LANGUAGES["kubernetes"].read(new)[0].no_new_privileges


@pytest.mark.parametrize("context", ["", ',"securityContext":{"privileged":true}'])
def test_json_stays_json(context: str) -> None:
    start = '{"kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"x"'
    pod = json.loads(patched("kubernetes", f"{start}{context}}}]}}}}"))
    made = pod["spec"]["containers"][0]["securityContext"]
    assert made["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize("language", ["compose", "kubernetes"])
@pytest.mark.parametrize(
    ("argv", "service", "recorded", "said"),
    [
        (("docker", "run", "web"), None, None, False),
        (("docker", "run", "--privileged", "web"), None, None, True),
        (("docker", "compose", "up"), "web", None, True),  # its file may say so
        (("docker", "compose", "up"), "web", False, False),
        (("docker", "compose", "up"), "web", True, True),
    ],
)
def test_privileged_is_taken_from_what_can_have_it(
    argv: tuple[str, ...],
    service: str | None,
    recorded: bool | None,
    said: bool,
    language: str,
    tmp_path: Path,
) -> None:
    container = Target("container", "web", argv, "/", "0:0", service=service, privileged=recorded)
    of_container = replace(report(), target=container)
    save(tmp_path / "report.json", of_container, CATALOG)
    of_container = load(tmp_path / "report.json", CATALOG)
    given = replace(snippet_of(of_container, frozenset(), CATALOG), stays_inside=True)
    assert ("privileged: false" in LANGUAGES[language].render(given)) is said


def test_what_was_privileged_is_said_not_to_be_whatever_it_needs() -> None:
    """An override without this line leaves it privileged, whatever its lists say."""
    given = Snippet("web", ((Cap.parse("SYS_ADMIN"), "mounts"),), privileged=True)
    assert "    privileged: false" in LANGUAGES["compose"].render(given)


OWN = "services:\n  web:\n    image: x\n"
OVERRIDE = "services:\n  web:\n    restart: always\n"
ON, OFF = "    privileged: true\n", "    privileged: false\n"


@pytest.mark.parametrize(
    ("text", "recorded", "says_no", "note"),
    [
        (OWN, None, False, False),
        (OWN, False, False, False),
        (OWN, True, False, True),  # another file of the project may say so
        (OWN + ON, True, False, False),  # the line is gone
        (OWN + ON, None, False, False),
        (OWN + OFF, True, True, False),
        (OVERRIDE, None, False, False),
        (OVERRIDE, False, False, False),
        (OVERRIDE, True, True, False),
        (OVERRIDE + ON, None, True, False),
        (OVERRIDE + ON, True, True, False),
        (OVERRIDE + OFF, True, True, False),
        ("services:\n  web:\n    extends: {file: a.yaml, service: b}\n", None, True, False),
        ("services:\n  web:\n    extends: {file: a.yaml, service: b}\n", False, False, False),
    ],
)
def test_compose_is_told_where_the_line_alone_would_not_do(
    text: str, recorded: bool | None, says_no: bool, note: bool
) -> None:
    """In an override, a line that is only gone leaves the service privileged."""
    given = replace(snippet(("CHOWN",)), privileged=recorded)
    done = LANGUAGES["compose"].patch(text, None, given)
    assert (OFF in done.text) is says_no, done.text
    assert ON not in done.text
    assert any("was privileged when it was recorded" in each for each in done.notes) is note
    again = LANGUAGES["compose"].patch(done.text, None, given)
    assert again.text == done.text
    assert not any("was privileged when" in each for each in again.notes)


def test_a_filter_of_the_pod_is_enough() -> None:
    text = POD + "  securityContext: {seccompProfile: {type: RuntimeDefault}}\n"
    assert patched("kubernetes", text).count("seccompProfile") == 1


def test_units() -> None:
    box = patched("quadlet", "[Container]\nImage=x\n[Service]\nRestart=always\n")
    assert "\nNoNewPrivileges=true\n[Service]\n" in box
    unit = "[Service]\nExecStart=/bin/x\nNoNewPrivileges=no\n"
    assert "NoNewPrivileges=true\n" in patched("systemd", unit)


@pytest.mark.parametrize("language", ["compose", "kubernetes", "quadlet", "systemd"])
def test_where_it_would_do_harm_it_is_not_written(language: str) -> None:
    """A set-id program was started; a call was seen that the default filter never lets through."""
    texts = {
        "compose": "services:\n  web:\n    image: x\n",
        "kubernetes": POD,
        "quadlet": "[Container]\nImage=x\n",
        "systemd": "[Service]\nExecStart=/bin/x\n",
    }
    harmed = replace(SAFE, no_new_privileges=False, default_seccomp=False)
    new = LANGUAGES[language].patch(texts[language], None, harmed).text
    assert "rivileges" not in new.replace("Privileged", "")
    assert "seccomp" not in new
    assert "Escalation" not in new


# ------------------------------------------------------------------------------ names


TWO = "".join(
    f"kind: Deployment\nmetadata: {{name: web, namespace: {name}}}\nspec: {{template: {{spec: "
    "{containers: [{name: c, image: x}]}}}\n---\n"
    for name in ("a", "b")
)


def test_the_namespace_tells_two_of_one_name_apart() -> None:
    names = [each.service for each in LANGUAGES["kubernetes"].read(TWO)]
    assert names == ["a/Deployment/web/c", "b/Deployment/web/c"]
    for asked in ("b/Deployment/web/c", "b/deployment/web"):
        result = LANGUAGES["kubernetes"].patch(TWO, asked, SAFE)
        assert result.service == names[1]
        first, second, _ = result.text.split("---\n")
        assert first == TWO.split("---\n")[0]
        assert "CHOWN" in second
    with pytest.raises(BadInput, match="'Deployment/web' fits several"):
        LANGUAGES["kubernetes"].patch(TWO, "Deployment/web", SAFE)


def test_a_namespace_need_not_be_said_where_one_is_enough() -> None:
    one = TWO.split("---\n")[0]
    for asked in ("Deployment/web/c", "a/Deployment/web/c", "web/c", "c"):
        assert LANGUAGES["kubernetes"].patch(one, asked, SAFE).service == "Deployment/web/c"


def test_a_quadlet_goes_by_its_file_and_by_its_container(tmp_path: Path) -> None:
    path = tmp_path / "web.container"
    path.write_text("[Container]\nImage=x\nContainerName=front\n")
    for name in ("web", "web.container", "front"):
        assert "DropCapability=all" in plan(path, QUADLET, name, SAFE).patched.text
    with pytest.raises(BadInput):
        plan(path, QUADLET, "other", SAFE)


@pytest.mark.parametrize("name", ["web", "front"])
def test_a_report_goes_by_either_name(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "web.container").write_text("[Container]\nImage=x\nContainerName=front\n")
    (tmp_path / "reports").mkdir()
    save(tmp_path / "reports" / f"{name}.json", report(RECORDING), CATALOG)
    main(["check", str(tmp_path / "web.container"), "--against", str(tmp_path / "reports")])
    assert "no-report" not in capsys.readouterr().out


# ------------------------------------------------------------------------------ others


EXTENDED = (
    "services:\n  base:\n    image: x\n  web:\n    extends: base\n"
    "  task:\n    extends: {service: web}\n  alone:\n    image: y\n"
)


def test_what_extends_it_is_changed_only_with_consent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, file = tmp_path / "r.json", tmp_path / "compose.yml"
    save(saved, report(RECORDING), CATALOG)
    file.write_text(EXTENDED)
    emit = ["emit", str(saved), "--format", "compose", "--into", str(file), "--service"]
    assert main([*emit, "base"]) == 2
    assert "web, task extend base" in capsys.readouterr().err
    assert file.read_text() == EXTENDED
    assert main([*emit, "base", "--dry-run"]) == 0
    assert file.read_text() == EXTENDED
    assert main([*emit, "alone"]) == 0
    assert main([*emit, "base", "--with-dependents"]) == 0
    assert "web, task extend base: their capabilities change too" in capsys.readouterr().err
    assert "cap_drop" in file.read_text().partition("web:")[0]


def test_a_diff_has_the_fewest_lines() -> None:
    """In a file of similar documents, a change in two places is shown there only."""
    part = ["kind: a\n", "spec:\n", "  x: 1\n", "---\n"]
    old = part * 500
    new = [*old[:40], "  y: 2\n", *old[40:1000], "  y: 2\n", *old[1001:]]
    lines = list(unified(old, new, ("a", "b")))
    assert [line for line in lines[2:] if line[0] in "+-"] == [
        "+  y: 2\n",
        "-kind: a\n",
        "+  y: 2\n",
    ]


def test_no_key_of_compose_is_named_for_a_pod() -> None:
    """It was told to list devices under ``devices:``, which a pod does not have."""
    not_privileged = replace(SAFE, privileged=True)
    assert "devices:" in LANGUAGES["compose"].render(not_privileged)
    assert "devices:" not in LANGUAGES["kubernetes"].render(not_privileged)
