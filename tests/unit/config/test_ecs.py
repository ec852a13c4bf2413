"""ECS task definitions: what AWS's own model of its API takes, and what the gate says of them."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from capadvise.catalog import default
from capadvise.config import LANGUAGES, recognise
from capadvise.config.declared import Exposure
from capadvise.gate.lint import lint
from capadvise.gate.service import Service
from capadvise.model.caps import NAMES
from capadvise.model.errors import BadInput
from tests.support.patching import snippet
from tests.support.usual_notes import besides_usual

ECS = LANGUAGES["ecs"]
SOUND: dict[str, Any] = {
    "name": "web",
    "image": "x",
    "user": "1000",
    "dockerSecurityOptions": ["no-new-privileges"],
    "linuxParameters": {"capabilities": {"drop": ["ALL"]}},
}


@cache
def model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("ecs", "service-2"), "ecs")


def refusal(task: dict[str, Any]) -> str:
    """What botocore says of the input for register-task-definition; empty where it takes it."""
    shape = model().operation_model("RegisterTaskDefinition").input_shape
    return str(ParamValidator().validate(task, shape).generate_report())


def task(*containers: dict[str, Any], **top: Any) -> str:
    return json.dumps({"family": "shop", "containerDefinitions": [*containers], **top}, indent=2)


# ------------------------------------------------------------------------------ the real model


@given(
    caps=st.frozensets(st.sampled_from(NAMES)),
    user=st.sampled_from(["0:0", "33:33", "www-data"]),
)
def test_aws_takes_what_is_rendered(caps: frozenset[str], user: str) -> None:
    """As it is but for the family, which the snippet is merged into."""
    rendered = json.loads(ECS.render(snippet(tuple(caps), user)))
    assert refusal({"family": "shop", **rendered}) == ""


def test_the_model_refuses_what_it_does_not_know() -> None:
    assert "notes" in refusal({"family": "shop", "containerDefinitions": [{"notes": "x"}]})


def test_the_names_that_ecs_lacks_are_those_that_its_model_does_not_list() -> None:
    said = model().shape_for("KernelCapabilities").members["add"].documentation
    assert {name for name in NAMES if f'"{name}"' not in said} == set(ECS.judged_by.lacks)


# ------------------------------------------------------------------------------ the gate


def rules(text: str) -> set[str]:
    """What the gate finds."""
    (one,) = ECS.read(text)
    service = Service.of(one, (("f", one),), ECS.judged_by, default())
    return {item.rule for item in besides_usual(lint(service), "ecs")}


def test_a_sound_one_passes() -> None:
    assert rules(task(SOUND)) == set()
    assert refusal(json.loads(task(SOUND))) == ""


@pytest.mark.parametrize(
    ("top", "more", "rule"),
    [
        ({}, {"privileged": True}, "privileged"),
        ({"networkMode": "host"}, {}, "host-namespace"),
        ({"pidMode": "host"}, {}, "host-namespace"),
        ({"ipcMode": "host"}, {}, "host-namespace"),
        ({}, {"dockerSecurityOptions": ["label:disable"]}, "unconfined"),
        ({}, {"volumesFrom": [{"sourceContainer": "log"}]}, "not-judged"),
        ({}, {"linuxParameters": {"devices": [{"hostPath": "/dev/sda"}]}}, "host-device"),
        ({}, {"linuxParameters": {"capabilities": {"add": ["ALL"]}}}, "add-all"),
        ({}, {"linuxParameters": {"capabilities": {"add": ["CAP_KILL"]}}}, "ignored-name"),
        ({}, {"linuxParameters": {"capabilities": {"add": ["BPF"]}}}, "ignored-name"),
        ({"requiresCompatibilities": ["FARGATE"]}, {"privileged": True}, "rejected"),
        (
            {"requiresCompatibilities": ["FARGATE"]},
            {"linuxParameters": {"capabilities": {"add": ["CHOWN"]}}},
            "rejected",
        ),
    ],
)
def test_the_gate_finds(top: dict[str, Any], more: dict[str, Any], rule: str) -> None:
    text = task({**SOUND, **more}, **top)
    assert refusal(json.loads(text)) == "", "it is a mistake that AWS lets people make"
    assert rule in rules(text)


HOST = {"name": "h", "host": {"sourcePath": "/run/docker.sock"}}
DRIVER = {"driver": "local", "driverOpts": {"type": "overlay", "o": "lowerdir=/,upperdir=/u"}}
LAYERS = {"name": "h", "dockerVolumeConfiguration": DRIVER}


@pytest.mark.parametrize("volume", [HOST, LAYERS])
def test_what_is_mounted_counts_where_it_is_mounted(volume: dict[str, Any]) -> None:
    web = {**SOUND, "mountPoints": [{"sourceVolume": "h", "containerPath": "/h"}]}
    text = task(web, {"name": "log"}, volumes=[volume])
    assert refusal(json.loads(text)) == ""
    one, other = ECS.read(text)
    assert one.exposes(Exposure.CONTROL_SOCKET)
    assert not other.exposed


def test_sys_ptrace_may_be_added_on_fargate() -> None:
    linux = {"capabilities": {"add": ["SYS_PTRACE"], "drop": ["NET_RAW"]}}
    text = task({**SOUND, "linuxParameters": linux}, requiresCompatibilities=["FARGATE"])
    (one,) = ECS.read(text)
    assert one.refused == ()


def test_a_finding_names_its_line() -> None:
    (one,) = ECS.read(task({**SOUND, "privileged": True}, pidMode="host"))
    assert dict(one.lines)["privileged"] == 18
    assert [item.line for item in one.exposed] == [21]


def test_what_is_printed_by_aws_is_read() -> None:
    """``describe-task-definition`` names what is not set, too."""
    container = {**SOUND, "mountPoints": [], "volumesFrom": [], "environment": []}
    printed = {"taskDefinition": json.loads(task(container)), "tags": []}
    text = json.dumps(printed)
    assert recognise("x.json", text) is ECS
    (one,) = ECS.read(text)
    assert (one.service, one.aliases, one.unjudged) == ("web", ("shop/web",), ())
    assert one.no_new_privileges


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (task(SOUND, SOUND), "twice"),
        (task({**SOUND, "Privileged": True}), "differs in case"),
        (task({**SOUND, "privileged": "yes"}), "true or false"),
        (task(SOUND, taskDefinition=json.loads(task(SOUND))), "within another"),
        ('{"containerDefinitions": {}}', "a list"),
        ('{"containerDefinitions": [{"name": "a", "user": [1]}]}', "a text"),
        ('{"taskDefinition": "shop:1"}', "keys and values"),
        ("{}", "not an ECS task definition"),
    ],
)
def test_what_two_readers_could_take_differently_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        ECS.read(text)


def test_the_input_of_another_command_is_none() -> None:
    """``run-task`` names a task definition."""
    assert recognise("x.json", '{"taskDefinition": "shop:1", "cluster": "c"}') is None


def test_windows_is_said() -> None:
    platform = {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}
    (one,) = ECS.read(task(SOUND, runtimePlatform=platform))
    assert one.windows


def test_lacking_names_are_in_a_note() -> None:
    labels = json.loads(ECS.render(snippet(("BPF",))))["containerDefinitions"][0]["dockerLabels"]
    assert any("does not take BPF" in text for text in labels.values())
