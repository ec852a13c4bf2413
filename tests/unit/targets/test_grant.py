"""What a recording and a trial change in a command line or a project, and what stays."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from capadvise.model.caps import parse_set
from capadvise.targets.client.invocation import Invocation, recognize
from capadvise.targets.containers import grant, project, volumes

CAPS = parse_set(["CHOWN", "SYS_ADMIN"])


def _invocation(text: str) -> Invocation:
    found = recognize(shlex.split(text))
    assert found is not None
    return found


class Copies:
    """Folders are copies, volumes are new; but for one, which is there."""

    def bind(self, source: str, _: str) -> str:
        return f"/copy/{source.strip('./')}"

    def volume(self, name: str) -> str | None:
        return "/copy/there" if name == "there" else None


@pytest.mark.parametrize(
    ("given", "recorded"),
    [
        ("-it --rm -p 80:80 --name w", "--interactive --tty --publish=80:80 --name=w"),
        ("--cap-drop ALL --cap-add=CHOWN", ""),
        ("--security-opt seccomp=p.json --security-opt=no-new-privileges:true", ""),
        ("--security-opt label=disable --privileged", "--security-opt=label=disable --privileged"),
        ("--restart always -u 5", "--user=5"),
    ],
)
def test_a_recording_keeps_all_but_the_grant(given: str, recorded: str) -> None:
    ours = "--cap-add=ALL --label=l=1 --security-opt=seccomp=unconfined"
    found = grant.recorded(_invocation(f"docker run {given} image cmd"), "l=1").argv()
    assert " ".join(found) == " ".join(f"docker run {recorded} {ours} image cmd".split())


@pytest.mark.parametrize(
    ("given", "tried"),
    [
        ("-itd --rm -p 80:80 -P --name w --privileged --cap-add ALL --restart always", ""),
        ("--security-opt seccomp=p.json --read-only -u 5 --network none", None),
    ],
)
def test_a_trial_keeps_what_restrains_and_publishes_nothing(given: str, tried: str | None) -> None:
    kept = "--security-opt=seccomp=p.json --read-only --user=5 --network=none"
    ours = "--cap-drop=ALL --cap-add=CHOWN --cap-add=SYS_ADMIN --name=t --label=l=1"
    found = grant.tried(_invocation(f"docker run {given} image cmd"), CAPS, "t", "l=1").argv()
    kept = kept if tried is None else tried
    assert " ".join(found) == " ".join(f"docker run {kept} {ours} image cmd".split())


@pytest.mark.parametrize(
    ("given", "tried"),
    [("/d", "/d:O"), ("/d:O", "/d:O"), ("/d:idmap", "/d:idmap:O"), ("/d:O:idmap", "/d:O:idmap")],
)
def test_a_trial_does_not_write_to_the_users_root_folder(given: str, tried: str) -> None:
    invocation = _invocation(f"podman run --rootfs {given} cmd")
    assert grant.tried(invocation, CAPS, "t", "l=1").rest == (tried, "cmd")


@pytest.mark.parametrize(
    ("option", "fresh"),
    [
        ("-v /own:/data", "--volume=/copy/own:/data"),
        ("-v ./own:/data:z", "--volume=/copy/own:/data:z"),
        ("-v /own:/data:ro,z", "--volume=/own:/data:ro,z"),
        ("-v named:/data", "--volume=/data"),
        ("-v /data", "--volume=/data"),
        ("--mount type=bind,src=/own,dst=/x", "--mount=type=bind,src=/copy/own,dst=/x"),
        ("-v there:/data:z", "--volume=/copy/there:/data:z"),
        (
            "--mount source=there,target=/x,volume-nocopy=true",
            "--mount=type=bind,source=/copy/there,target=/x",
        ),
        (
            "--mount type=bind,src=/own,dst=/x,readonly",
            "--mount=type=bind,src=/own,dst=/x,readonly",
        ),
        ("--mount source=named,target=/x", "--mount=target=/x"),
        ("--tmpfs /x", ""),
    ],
)
def test_what_a_trial_may_write_to_is_not_the_users(option: str, fresh: str) -> None:
    options = _invocation(f"docker run {option} image").options
    found = volumes.of_options(options, Copies())
    assert " ".join(one.word for one in found) == fresh


class NewVolumes(Copies):
    """Also in place of folders."""

    def bind(self, source: str, _: str) -> None:  # type: ignore[override]
        return None


@pytest.mark.parametrize(
    ("option", "fresh"),
    [
        ("-v /own:/x", "--volume=/x"),
        ("-v ./own:/x:z", "--volume=/x"),
        ("-v /own:/x:ro", "--volume=/own:/x:ro"),
        ("--mount type=bind,src=/own,bind-propagation=rslave,dst=/x", "--mount=type=volume,dst=/x"),
    ],
)
def test_a_trial_can_have_a_new_volume_for_a_folder(option: str, fresh: str) -> None:
    options = _invocation(f"docker run {option} image").options
    assert " ".join(one.word for one in volumes.of_options(options, NewVolumes())) == fresh


def test_a_service_can_have_a_new_volume_for_a_folder() -> None:
    given = volumes.of_service(SERVICE, NewVolumes())
    assert given[0] == {"type": "volume", "target": "/data"}
    assert given[1:] == SERVICE["volumes"][1:]


SERVICE: dict[str, Any] = {
    "image": "i",
    "privileged": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true", "label:disable", "seccomp:x.json"],
    "restart": "always",
    "deploy": {"restart_policy": {"condition": "any"}, "replicas": 2},
    "ports": [{"target": 80}],
    "container_name": "mine",
    "labels": {"a": "b"},
    "volumes": [
        {"type": "bind", "source": "/own", "target": "/data"},
        {"type": "bind", "source": "/own", "target": "/read", "read_only": True},
        {"type": "volume", "source": "named", "target": "/v"},
    ],
}
PROJECT: dict[str, Any] = {
    "name": "p",
    "services": {"web": SERVICE, "db": {"image": "d", "cap_add": ["CHOWN"]}},
    "volumes": {"named": {"name": "p_named"}, "theirs": {"name": "x", "external": True}},
    "networks": {"default": {"name": "p_default"}, "lan": {"name": "lan", "external": True}},
}


def test_only_the_services_that_are_looked_at_are_given_all() -> None:
    services = project.recorded(PROJECT, ("web",), "l=1")["services"]
    assert services["db"] is PROJECT["services"]["db"]
    kept = {"restart", "cap_drop", "deploy", "security_opt", "labels"}
    assert {k: v for k, v in services["web"].items() if k not in kept | {"cap_add"}} == {
        k: v for k, v in SERVICE.items() if k not in kept
    }
    assert services["web"]["cap_add"] == ["ALL"]
    assert services["web"]["security_opt"] == ["label:disable", "seccomp=unconfined"]
    assert services["web"]["labels"] == {"a": "b", "l": "1"}
    assert services["web"]["deploy"] == {"replicas": 2}


def test_a_trial_of_a_project_has_names_of_its_own() -> None:
    tried = grant.tried_service(SERVICE, CAPS)
    copied = volumes.of_service(SERVICE, Copies())
    web = grant.in_trial({**tried, "build": "."}, "p-web", "l=1", copied)
    assert (web["cap_drop"], web["cap_add"]) == (["ALL"], ["CHOWN", "SYS_ADMIN"])
    assert web["image"] == "p-web"
    assert not {"build", "privileged", "ports", "container_name", "restart"} & set(web)
    assert web["security_opt"] == SERVICE["security_opt"]  # the user's own posture stays
    assert [volume["source"] for volume in web["volumes"]] == ["/copy/own", "/own", "named"]
    fresh = volumes.of_project(PROJECT, reuse=False)
    assert fresh["volumes"] == {"named": {}, "theirs": {}}
    assert fresh["networks"] == {"default": {}, "lan": {"name": "lan", "external": True}}
    assert "name" not in fresh
    assert volumes.of_project(PROJECT, reuse=True)["volumes"] == PROJECT["volumes"]
