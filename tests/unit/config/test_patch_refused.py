"""What is not patched: files that nobody can read, that readers take differently, or in which a
patch would have no effect or too much of it."""

from __future__ import annotations

import pytest

from capadvise.config import LANGUAGES
from capadvise.config.patched import Patched
from capadvise.config.snippet import Snippet
from capadvise.model.errors import BadInput, CannotPatch, CapadviseError
from tests.support.patching import POD, QUOTED, USUAL, patch, snippet

BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("language", "text", "service", "said", "hint"),
    [
        ("compose", "services:\n  a: [\n", None, "line 3: ", None),
        ("compose", "{{- if .x }}\nservices: {}\n", None, "line ", "a Helm template"),
        ("compose", "x: 1\n", None, "it has no services", None),
        ("compose", "", None, "it has no services", None),
        ("compose", "services: {}\n", None, "it has no service", None),
        ("compose", "services: {web: , api: }\n", None, "it has 2 services", "web, api"),
        ("compose", "services: {web: {}}\n", "wbe", "no service 'wbe'", "did you mean web?"),
        ("compose", "services: {web: }\n", "web", "'web' is not a mapping", None),
        ("compose", "include: [b]\nservices: {web: {}}\n", "db", "no service 'db'", "includes"),
        ("compose", "services: {a: *x}\n", "a", "line 1: ", None),
        ("compose", BOMB, None, "its aliases expand to too much", None),
        ("compose", "[" * 5000, None, "nest", None),
        ("compose", "services: {a: {}}\n---\nservices: {a: {}}\n", "a", "2 of its documents", None),
        ("kubernetes", POD, None, "it has 2 containers", "Pod/a/c, Pod/a/d"),
        ("kubernetes", POD, "a", "'a' fits several", "Pod/a/c"),
        ("kubernetes", POD, "pod/b", "no container 'pod/b'", "Pod/a/c"),
        (
            "kubernetes",
            POD + "---\n" + POD.replace("a}", "b}"),
            "c",
            "'c' fits several",
            "Pod/b/c",
        ),
        ("kubernetes", POD + "---\n" + POD, "a/c", "'Pod/a/c' twice", "a file of its own"),
        ("kubernetes", "kind: Widget\nspec: {}\n", None, "it has Widget", "Deployment"),
        ("kubernetes", "services: {}\n", None, "not a Kubernetes manifest", "Pod"),
        ("quadlet", "[Kube]\nYaml=x\n", None, "no section [Container]", "its manifest"),
        ("quadlet", "Image=x\n", None, "line 1: ", None),
        ("systemd", "[Container]\nImage=x\n", None, "no section [Service]", "quadlet"),
        ("systemd", "[Service]\nwhat\n", None, "line 2: ", None),
    ],
)
def test_what_cannot_be_patched_is_named(
    language: str, text: str, service: str | None, said: str, hint: str | None
) -> None:
    with pytest.raises(CapadviseError) as raised:
        LANGUAGES[language].patch(text, service, snippet(USUAL))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert hint is None or hint in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("language", "text", "service"),
    [
        # the anchored service is used where it is no service
        ("compose", "services:\n  a: &a\n    image: x\nx-copy: *a\n", "a"),
        # a key twice: which of them counts?
        ("compose", "services:\n  a:\n    cap_add: [KILL]\n    cap_add: [CHOWN]\n", "a"),
        # the whole pod is shared
        (
            "kubernetes",
            "kind: List\nitems:\n"
            "- kind: Pod\n  metadata: {name: a}\n  spec: &s\n    containers:\n    - name: c\n"
            "- kind: Pod\n  metadata: {name: b}\n  spec: *s\n",
            "a/c",
        ),
    ],
)
def test_more_than_was_meant_is_refused(language: str, text: str, service: str) -> None:
    with pytest.raises((CannotPatch, BadInput)):
        LANGUAGES[language].patch(text, service, snippet(USUAL))


LATER_MERGE = """x: &c {capabilities: {add: [SYS_ADMIN]}}
kind: Pod
spec:
  containers:
  - name: c
    securityContext:
      capabilities:
        drop: [ALL]
        add: [NET_ADMIN]
      <<: {capabilities: {add: [SYS_ADMIN]}}
"""
TAGGED_KEY = "services:\n  a:\n    !!binary cHJpdmlsZWdlZA==: true\n"


@pytest.mark.parametrize(
    ("language", "text", "line"), [("kubernetes", LATER_MERGE, 10), ("compose", TAGGED_KEY, 3)]
)
def test_a_file_that_readers_take_differently_is_not_patched(
    language: str, text: str, line: int
) -> None:
    """kubectl lets a later merge key win, and docker compose decodes a binary key: a patch of what
    stands there had no effect."""
    with pytest.raises(BadInput, match=f"line {line}: ambiguous"):
        patch(language, text, None, USUAL)


@pytest.mark.parametrize(
    ("language", "text", "caps", "said"),
    [
        (
            "systemd",
            "[Service]\nExecStart=/bin/x\nPrivateDevices=yes\n",
            ("MKNOD",),
            "PrivateDevices= takes away MKNOD",
        ),
        (
            "kubernetes",
            "kind: Pod\nspec: {os: {name: windows}, containers: [{name: c}]}\n",
            (),
            "Pod/?/c runs on Windows",
        ),
    ],
)
def test_what_no_patch_can_give_is_refused(
    language: str, text: str, caps: tuple[str, ...], said: str
) -> None:
    with pytest.raises(CannotPatch) as caught:
        patch(language, text, None, caps)
    assert said in str(caught.value)


def test_a_patch_without_effect_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a patcher does: what its reader does not see is not written."""

    def no_patch(text: str, service: str | None, snippet: Snippet) -> Patched:
        return Patched(text, "a")

    for language, text in (
        ("compose", "services: {a: {cap_drop: [ALL], privileged: true}}\n"),
        ("systemd", QUOTED),
        ("quadlet", "[Container]\nImage=x\nPodmanArgs=--privileged\nDropCapability=all\n"),
        ("kubernetes", POD),
    ):
        monkeypatch.setattr(f"capadvise.config.{language}.edit.patch", no_patch)
        with pytest.raises((CannotPatch, BadInput), match=r"no effect|is missing after"):
            LANGUAGES[language].patch(text, None, snippet(()))
