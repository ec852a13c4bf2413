"""The policy that keeps a workload's pods at what its reports recommend: its own expressions judge
pods here, as a server would have them judge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cel
import kubernetes_validate
import pytest
import yaml

from capadvise.cli import main
from capadvise.config.kubernetes.admission import Allowed, PodOwner, render
from capadvise.model.caps import parse_set
from capadvise.model.errors import BadInput
from capadvise.report.save import save
from tests.support.recordings import CATALOG, report

WEB = Allowed("web", parse_set(["CHOWN", "NET_BIND_SERVICE"]), "web.json")
OWNER = {"kind": "ReplicaSet", "name": "web-7d4b9c6f5d"}
Objects = dict[str, dict[str, Any]]


def rendered(owner: str, **options: bool) -> Objects:
    """The objects, by their kinds."""
    text = render(PodOwner.parse(owner, "prod"), (WEB,), **options)
    return {each["kind"]: each for each in yaml.safe_load_all(text)}


OBJECTS = rendered("deploy/web")


def container(name: str = "web", **context: Any) -> dict[str, Any]:
    """One of a pod; an empty context is none."""
    return {"name": name, "image": "x"} | ({"securityContext": context} if context else {})


def caps(*add: str, drop: tuple[str, ...] = ("ALL",)) -> dict[str, Any]:
    """A securityContext."""
    return {"capabilities": {"drop": list(drop), "add": list(add)}}


RIGHT = container(**caps("CHOWN"))


def pod(
    *containers: dict[str, Any], owner: dict[str, str] | None = OWNER, name: str = "", **spec: Any
) -> dict[str, Any]:
    """A pod as its workload makes it."""
    metadata: dict[str, Any] = {"ownerReferences": [owner]} if owner else {}
    metadata |= {"name": name} if name else {"generateName": "web-"}
    return {"metadata": metadata, "spec": {"containers": list(containers), **spec}}


def refused(
    new: dict[str, Any], old: dict[str, Any] | None = None, objects: Objects = OBJECTS
) -> list[str]:
    """What the policy says against a new pod, or against containers that are added to an old one,
    without the part that is always the same."""
    spec = objects["ValidatingAdmissionPolicy"]["spec"]
    called = "ephemeralcontainers" if old else ""
    return judged(spec["variables"], spec["validations"], objects, new, old, called)


def judged(
    variables: list[dict[str, str]],
    validations: list[dict[str, str]],
    objects: Objects,
    new: dict[str, Any],
    old: dict[str, Any] | None,
    subresource: str,
) -> list[str]:
    """What expressions say; ``subresource``: what they are told of it."""
    known: dict[str, Any] = {
        "object": new,
        "oldObject": old,
        "params": objects["ConfigMap"],
        "request": {"subResource": subresource},
        "variables": {},
    }
    for variable in variables:
        value = cel.evaluate(variable["expression"], known)
        known["variables"] = known["variables"] | {variable["name"]: value}
    return [
        str(cel.evaluate(each["messageExpression"], known)).partition(";")[0]
        for each in validations
        if not cel.evaluate(each["expression"], known)
    ]


NO_DROP = "capadvise: container web lacks drop: [ALL]"


@pytest.mark.parametrize(
    ("new", "says"),
    [
        (pod(RIGHT), []),
        (pod(container(**caps())), []),
        (
            pod(container(**caps("CHOWN", "SYS_ADMIN"))),
            ["web adds SYS_ADMIN, which no report needs"],
        ),
        (pod(container(**caps("ALL"))), ["web adds ALL, which no report needs"]),
        (pod(container(**caps("HOWN"))), ["web adds HOWN, which no report needs"]),
        (pod(container(**caps("CAP_CHOWN"))), ["web adds CAP_CHOWN, which no report needs"]),
        (pod(container(privileged=True, **caps())), ["web is privileged"]),
        (pod(container(privileged=False, **caps())), []),
        (pod(container()), ["web lacks drop: [ALL]"]),
        (pod(container(**caps(drop=("NET_RAW",)))), ["web lacks drop: [ALL]"]),
        (pod(container(runAsUser=5)), ["web lacks drop: [ALL]"]),
        (pod(RIGHT, initContainers=[container("init", privileged=True)]), ["init is privileged"]),
        (pod(RIGHT, container("istio-proxy")), []),
        (
            pod(RIGHT, container("istio-proxy", **caps("NET_ADMIN", drop=()))),
            ["istio-proxy adds NET_ADMIN, which no report needs"],
        ),
    ],
)
def test_what_a_pod_of_the_workload_may_have(new: dict[str, Any], says: list[str]) -> None:
    assert refused(new) == [f"capadvise: container {each}" for each in says]


@pytest.mark.parametrize(
    ("workload", "owner", "name", "mine"),
    [
        ("deploy/web", OWNER, "", True),
        ("deploy/web", {"kind": "ReplicaSet", "name": "web-api-7d4b9c6f5d"}, "", False),
        ("deploy/web", {"kind": "ReplicaSet", "name": "webx-7d4b9c6f5d"}, "", False),
        ("deploy/web", {"kind": "StatefulSet", "name": "web"}, "", False),
        ("deploy/web", None, "web-7d4b9c6f5d-x2x7k", False),
        ("sts/web", {"kind": "StatefulSet", "name": "web"}, "web-0", True),
        ("daemonset/web", {"kind": "DaemonSet", "name": "web"}, "", True),
        ("cronjob/web", {"kind": "Job", "name": "web-29012345"}, "", True),
        ("job/a.b", {"kind": "Job", "name": "a.b"}, "", True),
        ("job/a.b", {"kind": "Job", "name": "axb"}, "", False),
        ("pod/web", None, "web", True),
        ("pod/web", None, "", False),
        ("pod/web", OWNER, "web", False),
    ],
)
def test_whose_pods_are_judged(
    workload: str, owner: dict[str, str] | None, name: str, *, mine: bool
) -> None:
    new = pod(container(), owner=owner, name=name)
    assert refused(new, objects=rendered(workload)) == ([NO_DROP] if mine else [])


def debugged(*added: dict[str, Any]) -> list[str]:
    """What is said where these are added to a pod that is older than the policy."""
    old = pod(container(privileged=True), ephemeralContainers=[container("first", privileged=True)])
    new = pod(
        container(privileged=True),
        ephemeralContainers=[container("first", privileged=True), *added],
    )
    return refused(new, old)


def test_who_debugs_an_older_pod_is_judged_alone() -> None:
    assert debugged(container("debugger", **caps("SYS_PTRACE", drop=()))) == []
    assert debugged(container("debugger")) == []
    assert debugged() == []
    assert debugged(container("x", privileged=True)) == ["capadvise: container x is privileged"]
    assert debugged(container("x", **caps("SYS_ADMIN", drop=()))) == [
        "capadvise: container x adds SYS_ADMIN, which no report needs"
    ]


def test_the_objects_are_what_a_server_takes() -> None:
    for each in OBJECTS.values():
        kubernetes_validate.validate(each, "1.31", strict=True)
    binding = OBJECTS["ValidatingAdmissionPolicyBinding"]["spec"]
    assert binding["validationActions"] == ["Deny"]
    warning = rendered("deploy/web", warn=True)["ValidatingAdmissionPolicyBinding"]["spec"]
    assert warning["validationActions"] == ["Warn", "Audit"]


def test_kyverno_is_not_told_of_subresources() -> None:
    """New pods and containers that are added to old ones have a rule each; changes of old pods,
    which a controller makes all the time, have none."""
    objects = rendered("deploy/web", kyverno=True)
    assert set(objects) == {"ConfigMap", "Policy"}
    spec = objects["Policy"]["spec"]
    assert spec["background"] is False
    (new, debug) = spec["rules"]
    asked = [rule["match"]["any"][0]["resources"] for rule in (new, debug)]
    assert asked == [
        {"kinds": ["Pod"], "operations": ["CREATE"]},
        {"kinds": ["Pod/ephemeralcontainers"], "operations": ["UPDATE"]},
    ]

    def says(rule: dict[str, Any], item: dict[str, Any], old: dict[str, Any] | None) -> list[str]:
        said = rule["validate"]["cel"]
        return judged(said["variables"], said["expressions"], objects, item, old, "")

    older = pod(container())
    assert says(new, pod(RIGHT), None) == []
    assert says(new, older, None) == [NO_DROP]
    debugger = {"name": "debugger", "image": "x"}
    assert says(debug, pod(container(), ephemeralContainers=[debugger]), older) == []
    root = debugger | {"securityContext": {"privileged": True}}
    assert says(debug, pod(container(), ephemeralContainers=[root]), older) == [
        "capadvise: container debugger is privileged"
    ]


@pytest.mark.parametrize("text", ["web", "deploy/", "deploy/We b", "node/web", "deploy/web/x", ""])
def test_what_is_no_workload(text: str) -> None:
    with pytest.raises(BadInput, match="is no workload"):
        PodOwner.parse(text, "prod")


def test_from_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two replicas have one set; a start that nobody saw is no base for a refusal."""
    made = report()
    seen = replace(made, target=replace(made.target, name="web", pod="prod/web-7d4b9c6f5d-x2x7k"))
    for name in ("one.json", "two.json"):
        save(tmp_path / name, seen, CATALOG)
    paths = [str(tmp_path / name) for name in ("one.json", "two.json")]
    assert main(["kubernetes", "keep", "deploy/web", *paths]) == 0
    _, data, binding = yaml.safe_load_all(capsys.readouterr().out)
    assert data["metadata"]["namespace"] == "prod"
    assert data["data"]["report"] == "one.json, two.json"
    names = sorted(cap.short for cap in seen.proposal.recommended)
    assert sorted(data["data"]["container.web"].strip(",").split(",")) == names
    assert binding["spec"]["paramRef"]["name"] == data["metadata"]["name"]
    recordings = tuple(replace(each, attached=True) for each in made.recordings)
    save(tmp_path / "late.json", replace(seen, recordings=recordings, proven=None), CATALOG)
    assert main(["kubernetes", "keep", "deploy/web", str(tmp_path / "late.json")]) == 2
    assert "was not observed" in capsys.readouterr().err
