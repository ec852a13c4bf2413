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


def owned(kind: str, name: str) -> dict[str, Any]:
    """The metadata of what another object has made, with the labels of a ReplicaSet's pods."""
    labels = {"pod-template-hash": name.rpartition("-")[2]} if kind == "ReplicaSet" else {}
    return {"ownerReferences": [{"kind": kind, "name": name}], "labels": labels}


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
    metadata: dict[str, Any] = owned(**owner) if owner else {}
    metadata |= {"name": name} if name else {"generateName": "web-"}
    return {"metadata": metadata, "spec": {"containers": list(containers), **spec}}


def refused(
    new: dict[str, Any], old: dict[str, Any] | None = None, objects: Objects = OBJECTS
) -> list[str]:
    """What the policy says against a new pod, or against containers that are added to an old one,
    without the part that is always the same."""
    spec = objects["ValidatingAdmissionPolicy"]["spec"]
    request = {"operation": "CREATE", "kind": {"kind": new.get("kind", "Pod")}}
    if old:
        request |= {"operation": "UPDATE", "subResource": "ephemeralcontainers"}
    return judged(spec["variables"], spec["validations"], new, old, request)


def judged(
    variables: list[dict[str, str]],
    validations: list[dict[str, str]],
    new: dict[str, Any],
    old: dict[str, Any] | None,
    request: dict[str, Any],
) -> list[str]:
    """What expressions say; ``request``: what they are told of it, without a subresource where it
    has none, as a server sends it."""
    known: dict[str, Any] = {
        "object": new,
        "oldObject": old,
        "request": request,
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
        ("deploy/we", {"kind": "ReplicaSet", "name": "we-b-7d4b9c6f5d"}, "", False),
        ("deploy/web", None, "web-7d4b9c6f5d-x2x7k", False),
        ("sts/web", {"kind": "StatefulSet", "name": "web"}, "web-0", True),
        ("daemonset/web", {"kind": "DaemonSet", "name": "web"}, "", True),
        ("cronjob/web", {"kind": "Job", "name": "web-29012345"}, "", True),
        ("cronjob/web", {"kind": "Job", "name": "web-2"}, "", False),
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


def test_a_rollouts_pods_are_known_by_its_own_hash() -> None:
    """Of Argo: a ReplicaSet as a Deployment's, with a label of another name."""
    new = pod(container(), owner=OWNER)
    assert refused(new, objects=rendered("rollout/web")) == []
    new["metadata"]["labels"] = {"rollouts-pod-template-hash": "7d4b9c6f5d"}
    assert refused(new, objects=rendered("rollout/web")) == [NO_DROP]


def job(name: str, maker: str = "web", **context: Any) -> dict[str, Any]:
    """A job of a CronJob, as a server shows it to a policy."""
    template = {"spec": {"containers": [container(**context)], "restartPolicy": "Never"}}
    metadata = {"name": name, "ownerReferences": [{"kind": "CronJob", "name": maker}]}
    return {"kind": "Job", "metadata": metadata, "spec": {"template": template}}


def test_a_job_that_was_made_from_a_cronjob_is_judged_itself() -> None:
    """``kubectl create job --from``: nothing in its pods tells of the CronJob."""
    objects = rendered("cronjob/web")
    rules = objects["ValidatingAdmissionPolicy"]["spec"]["matchConstraints"]["resourceRules"]
    assert [rule["resources"] for rule in rules][-1] == ["jobs"]
    assert refused(job("by-hand"), objects=objects) == [NO_DROP]
    assert refused(job("by-hand", **caps("CHOWN")), objects=objects) == []
    assert refused(job("by-hand", maker="other"), objects=objects) == []
    assert refused(job("web-29012345"), objects=objects) == []  # its pods are judged
    (*_, rule) = rendered("cronjob/web", kyverno=True)["Policy"]["spec"]["rules"]
    said = rule["validate"]["cel"]
    assert judged(said["variables"], said["expressions"], job("by-hand"), None, {}) == [NO_DROP]


def test_no_other_policy_is_needed_and_none_is_shared() -> None:
    """A missing parameter refuses every pod, and who deletes one policy deletes no other."""
    texts = [
        render(PodOwner.parse(owner, namespace), (WEB,))
        for owner, namespace in (("deploy/c", "a-b"), ("deploy/b-c", "a"), ("sts/c", "a-b"))
    ]
    assert "param" not in "".join(texts)
    kyverno = render(PodOwner.parse("cj/c", "a"), (WEB,), kyverno=True)
    assert "&id" not in kyverno, "tools for manifests differ in what they make of anchors"
    made = [each for text in texts for each in yaml.safe_load_all(text)]
    names = [(each["kind"], each["metadata"]["name"]) for each in made]
    assert len(set(names)) == 6
    long = [PodOwner.parse(f"deploy/{'x' * 200}{end}", "prod").label for end in "ab"]
    assert len(set(long)) == 2
    assert {len(each) for each in long} == {63}


def test_a_warning_refuses_nothing_even_if_it_cannot_be_evaluated() -> None:
    assert OBJECTS["ValidatingAdmissionPolicy"]["spec"]["failurePolicy"] == "Fail"
    warning = rendered("deploy/web", warn=True)["ValidatingAdmissionPolicy"]
    assert warning["spec"]["failurePolicy"] == "Ignore"


def test_the_name_of_a_report_is_no_expression() -> None:
    named = replace(WEB, report="a'\"\\ + object.x + 'ü.json")
    text = render(PodOwner.parse("deploy/web", "prod"), (named,))
    objects = {each["kind"]: each for each in yaml.safe_load_all(text)}
    assert refused(pod(container()), objects=objects) == [NO_DROP]


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
    assert set(objects) == {"Policy"}
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
        return judged(said["variables"], said["expressions"], item, old, {})

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
    policy, binding = yaml.safe_load_all(capsys.readouterr().out)
    (where,) = policy["spec"]["matchConstraints"]["namespaceSelector"]["matchLabels"].values()
    assert where == "prod"
    data = {each["name"]: each["expression"] for each in policy["spec"]["variables"]}
    assert data["report"] == '"one.json, two.json"'
    names = {cap.short for cap in seen.proposal.recommended}
    assert set(yaml.safe_load(data["allowed"])["web"].strip(",").split(",")) == names
    assert binding["spec"]["policyName"] == policy["metadata"]["name"]
    recordings = tuple(replace(each, attached=True) for each in made.recordings)
    save(tmp_path / "late.json", replace(seen, recordings=recordings, proven=None), CATALOG)
    assert main(["kubernetes", "keep", "deploy/web", str(tmp_path / "late.json")]) == 2
    assert "was not observed" in capsys.readouterr().err
