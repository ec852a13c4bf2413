"""Patches of the user's own files: what must change does, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from capadvise.config import LANGUAGES
from capadvise.gate.files import Change
from tests.support.golden import FOLDER, assert_golden
from tests.support.patching import CASES, POD, QUOTED, USUAL, Case, containers, load, patch

GOLDEN = FOLDER / "patch"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_only_the_lines_that_must_change_do(case: Case) -> None:
    patched = case.patched()
    diff = Change(Path(case.file), case.text.encode(), patched).diff()
    notes = "".join(f"# {note}\n" for note in patched.notes)
    assert_golden(f"{case.name}.diff", diff + notes, GOLDEN)


def test_a_second_patch_changes_nothing() -> None:
    for case in CASES:
        text = case.patched().text
        assert patch(case.language, text, case.service, case.caps).text == text, case.name


def test_no_golden_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {case.name for case in CASES}


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.file.endswith(".json")], ids=lambda case: case.name
)
def test_json_stays_json(case: Case) -> None:
    json.loads(case.patched().text)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.language == "kubernetes"],
    ids=lambda case: case.name,
)
def test_in_a_manifest_only_one_security_context_changes(case: Case) -> None:
    old, new = load(case.text), load(case.patched().text)
    changed = [
        (before, after)
        for before, after in zip(containers(old), containers(new), strict=True)
        if before != after
    ]
    assert len(changed) == 1
    ((before, after),) = changed
    context = after.pop("securityContext")
    was = before.pop("securityContext", None) or {}
    assert before == after
    had = (was.get("capabilities") or {}).get("add")
    want = {"drop": ["ALL"]} | ({"add": set(case.caps)} if case.caps or had else {})
    has = context.pop("capabilities")
    assert has | ({"add": set(has["add"])} if "add" in has else {}) == want
    assert not context.pop("privileged", False)
    was.pop("privileged", None)
    was.pop("capabilities", None)
    assert context == was
    assert old == new  # now that what was compared is taken out


@pytest.mark.parametrize(
    "words",
    [
        "--cap-add SYS_ADMIN",
        '"--cap-add" "SYS_ADMIN"',
        "--cap-add 'SYS_ADMIN,KILL' --privileged=1",
        "'--cap-add=SYS_ADMIN' --cap-drop=\"KILL\"",
    ],
)
def test_what_podman_is_given_besides_gives_nothing(words: str) -> None:
    text = f"[Container]\nImage=x\nPodmanArgs={words} --env 'A=b --privileged'\n"
    patched = patch("quadlet", text, None, ()).text
    assert patched.splitlines()[2] == "PodmanArgs=--env 'A=b --privileged'"
    (declared,) = LANGUAGES["quadlet"].read(patched)
    assert (declared.add, declared.drop, declared.privileged) == ((), ("all",), False)


def test_what_a_container_cannot_have_is_said() -> None:
    text = "kind: Pod\nspec:\n  securityContext: {runAsNonRoot: true}\n  containers: [{name: c}]\n"
    assert any("user nonroot does not get these" in note for note in _notes(text))
    assert any(
        "user 7 does not get these" in note
        for note in _notes(text.replace("NonRoot: true", "User: 7"))
    )
    assert not any("only bounds" in note for note in _notes(text.replace("true", "false")))


def _notes(text: str) -> tuple[str, ...]:
    return patch("kubernetes", text, None, USUAL).notes


def test_a_container_goes_by_its_own_name_too() -> None:
    assert patch("kubernetes", POD, "d", USUAL).service == "Pod/a/d"


def test_the_patcher_reads_words_as_the_gate_does() -> None:
    patched = patch("systemd", QUOTED, None, ("CHOWN", "NET_BIND_SERVICE")).text
    (declared,) = LANGUAGES["systemd"].read(patched)
    assert declared.add == ("CAP_CHOWN", "CAP_NET_BIND_SERVICE")


def test_the_gate_sees_every_patch() -> None:
    for case in CASES:
        name = case.patched().service
        text = case.patched().text.removeprefix("\ufeff")
        path = {"quadlet": "x.container.d/x.conf", "systemd": "x.service.d/x.conf"}
        every = LANGUAGES[case.language].read(text, path.get(case.language, ""))
        (declared,) = [item for item in every if case.language in path or item.service == name]
        added = {item.upper().removeprefix("CAP_") for item in declared.add}
        assert added == set(case.caps), case.name
        assert {item.upper() for item in declared.drop} == {"ALL"}, case.name
        assert not declared.privileged, case.name


ROLLOUT = """apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: web}
spec:
  template:
    spec:
      containers:
      - name: app
        securityContext: {privileged: true}
"""


def test_a_kind_with_a_template_is_patched() -> None:
    for name in (None, "web/app", "Rollout/web/app", "rollout/web"):
        patched = patch("kubernetes", ROLLOUT, name, USUAL)
        assert patched.service == "Rollout/web/app"
        assert "privileged: false" in patched.text


@pytest.mark.parametrize("add", ["!reset []", "!override [NET_ADMIN]", "!override []"])
@pytest.mark.parametrize("caps", [(), ("CHOWN",)])
def test_what_an_override_keeps_from_another_file_it_keeps_still(
    add: str, caps: tuple[str, ...]
) -> None:
    text = f"services:\n  web:\n    cap_drop: !reset null\n    cap_add: {add}\n    ports: [80]\n"
    done = patch("compose", text, "web", caps)
    new = done.text
    assert not any("overrides" in note for note in done.notes)
    assert re.search(r"^    cap_drop: !override$", new, re.MULTILINE), new
    assert re.search(r"^    cap_add: !(override|reset)\b", new, re.MULTILINE), new
    assert "!reset" not in new or not caps
    assert patch("compose", new, "web", caps).text == new
