"""What kubectl says is taken as it is meant, and no more of it than can be."""

from __future__ import annotations

from pathlib import Path

import pytest

from capadvise.targets.kubernetes import kubectl
from capadvise.targets.kubernetes.kubectl import ClusterError, Kubectl

INVALID = """\
The Pod "web" is invalid:
* spec.containers[0].image: Required value
* spec.containers[0].name: Duplicate value: "web"
"""


def feigned(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kubectl that does this."""
    program = folder / "kubectl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


@pytest.mark.parametrize(
    ("script", "says", "reason"),
    [
        ("exec head -c 9000000 /dev/zero", "its answer is larger than", ""),
        ("echo 'Error from server (NotFound): no web' >&2; exit 1", "no web", "NotFound"),
        (
            f"echo '{INVALID}' >&2; exit 1",
            "image: Required value; spec.containers[0].name: Dup",
            "",
        ),
        ("printf '* a list\\nno route\\n' >&2; exit 1", "kubectl get: no route", ""),
        ("exit 7", "exit status 7", ""),
        ("echo '[[' ", "is no JSON", ""),
        ("echo '[]' ", "is no object", ""),
    ],
)
def test_what_it_says(
    script: str, says: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubectl, "_LARGEST", 4 << 20)
    feigned(tmp_path, script, monkeypatch)
    with pytest.raises(ClusterError) as refused:
        Kubectl().get("/api")
    assert says in str(refused.value)
    assert refused.value.reason == reason


def test_what_a_command_in_a_container_says_is_no_answer_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feigned(tmp_path, f"echo '{INVALID}\nexit code 1' >&2; exit 1", monkeypatch)
    with pytest.raises(ClusterError, match="kubectl exec: exit code 1"):
        Kubectl().execute("default", "web", "app", ["true"], 60)


def test_it_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feigned(tmp_path, "exec sleep 1000", monkeypatch)
    with pytest.raises(ClusterError, match="kubectl exec: no answer in 0 s"):
        Kubectl().call("exec", timeout=0.2)


def test_it_is_given_what_it_is_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feigned(tmp_path, 'printf %s "$*,"; cat', monkeypatch)
    client = Kubectl(("--context=there",))
    assert client.call("get", "x", stdin="é") == "--context=there get x,é"


def test_it_keeps_to_the_context_that_was_current(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if somebody says ``kubectl config use-context`` during a recording."""
    feigned(tmp_path, 'case "$*" in *current-context) echo here;; *) echo "$*";; esac', monkeypatch)
    assert Kubectl.pinned(None, None, None).call("get", "x").strip() == "--context=here get x"
    chosen = Kubectl.pinned("k.yaml", "there", "jane")
    assert chosen.call("x").strip() == "--kubeconfig=k.yaml --as=jane --context=there x"
    feigned(tmp_path, 'case "$*" in *current-context) exit 1;; *) echo "$*";; esac', monkeypatch)
    assert Kubectl.pinned(None, None, None).call("get", "x").strip() == "get x"
