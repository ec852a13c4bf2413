"""Objects of kinds that are not Kubernetes' own: what gives power in them does not pass, and what
only looks like a container neither ends the run nor is a finding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capadvise.cli import main

CONTEXT = "securityContext: {runAsUser: 5, capabilities: {drop: [ALL]}, privileged: false}"
ROOT = "volumes: [{name: v, hostPath: {path: /}}]"
MOUNT = "volumeMounts: [{name: v, mountPath: /h}]"
BOX = f"{{name: c, image: x, {CONTEXT}}}"
POWER = '{"containers": [{"name": "main", "securityContext": {"privileged": true}}]}'


def custom(spec: str, kind: str = "Thing", version: str = "example.com/v1") -> str:
    return f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\nspec: {spec}\n"


def argo(spec: str) -> str:
    return custom(spec, "Workflow", "argoproj.io/v1alpha1")


HOSTILE = {
    **{
        f"{key} beside {name}": custom(f"{{{key}: true, {beside}}}")
        for key in ("hostPID", "hostNetwork", "hostIPC")
        for name, beside in (
            ("a context", CONTEXT),
            ("its own switch", "privileged: false"),
            ("capabilities", "capabilities: {drop: [ALL]}"),
        )
    },
    "a folder beside a context": custom(f"{{{ROOT}, {MOUNT}, {CONTEXT}}}"),
    "a folder that nobody mounts by name": custom(f"{{{ROOT}, {CONTEXT}}}"),
    "a folder beside a switch": custom(f"{{privileged: false, {ROOT}, {MOUNT}}}"),
    "deeper": custom(f"{{server: {{template: {{hostPID: true, {CONTEXT}}}}}}}"),
    "beside containers": custom(f"{{{ROOT}, {MOUNT}, containers: [{BOX}]}}", "Prometheus"),
    "beside a sidecar": custom(f"{{{ROOT}, {MOUNT}, sidecars: [{BOX}]}}", "Agent"),
    "other volumes": custom(f"{{extraVolumes: [{{name: v, hostPath: {{path: /}}}}], a: [{BOX}]}}"),
    "volumes by name": custom("{volumes: {v: {hostPath: {path: /etc}}}}"),
    "storage": custom("{storage: {hostPath: /root/.ssh}}"),
    "a disk": custom(
        "{template: {spec: {volumes: [{name: d, hostDisk: {path: /dev/sda, type: Disk}}]}}}",
        "VirtualMachine",
        "kubevirt.io/v1",
    ),
    "a patch in JSON": argo(f"{{podSpecPatch: '{POWER}', templates: [{{container: {BOX}}}]}}"),
    "a patch of a template": argo(
        f"{{templates: [{{container: {BOX}, podSpecPatch: '{POWER}'}}]}}"
    ),
    "a patch in YAML": argo("\n  podSpecPatch: |\n    hostPID: true\n    containers: []"),
    "a patch that mounts": argo(
        f"{{podSpecPatch: '{{{ROOT}, containers: [{{name: main, {MOUNT}}}]}}'}}"
    ),
    "a patch with a parameter": argo("{podSpecPatch: '{\"hostPID\": {{inputs.parameters.x}}}'}"),
    "a patch that is a parameter": argo("{podSpecPatch: '{{inputs.parameters.x}}'}"),
    "a patch that is no YAML": argo("{podSpecPatch: '{% if x %}: ['}"),
    "a list of changes": custom("{patch: '[{op: add, path: /spec/hostPID, value: true}]'}"),
    "a list of changes, one of them harmless": custom(
        "{patch: '[{op: replace, path: /spec/replicas, value: 3},"
        " {op: remove, path: /spec/template/spec/containers/0/securityContext}]'}"
    ),
    "a change of a container": custom(
        "{patch: '[{op: add, path: /spec/containers/0/securityContext/privileged, value: true}]'}"
    ),
    "a change that copies": custom("{patch: '[{op: copy, from: /a, path: /spec/replicas}]'}"),
    "a manifest": argo(
        "{templates: [{resource: {action: create, manifest: "
        + json.dumps("kind: Pod\nspec:\n  hostPID: true\n  containers: [{image: x}]\n")
        + "}}]}"
    ),
}


def strictly(text: str, tmp_path: Path) -> int:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    return main(["check", "--strict", str(path)])


@pytest.mark.parametrize("name", HOSTILE)
def test_none_passes(name: str, tmp_path: Path) -> None:
    assert strictly(HOSTILE[name], tmp_path) == 1


def test_a_finding_in_a_text_has_its_line_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = argo(
        "\n  podSpecPatch: |\n    containers:\n      - name: m\n"
        "        securityContext:\n          privileged: true"
    )
    assert strictly(text, tmp_path) == 1
    assert "line 9: Workflow/a/m: it is privileged" in capsys.readouterr().out


PATTERN = "allowPrivilegeEscalation: 'false', privileged: '!true'"
RULE = f"{{pattern: {{spec: {{containers: [{{securityContext: {{{PATTERN}}}}}]}}}}}}"
FORBIDDING = {
    "Kyverno": custom(f"{{rules: [{{validate: {RULE}}}]}}", "ClusterPolicy", "kyverno.io/v1"),
    "PodSecurityPolicy": custom(
        "{privileged: false, runAsUser: {rule: MustRunAsNonRoot}, hostPID: false, volumes: ['*']}",
        "PodSecurityPolicy",
        "policy/v1beta1",
    ),
    "PodSecurityPolicy of its first group": custom(
        "{privileged: false, runAsUser: {rule: RunAsAny}, allowedCapabilities: [NET_ADMIN]}",
        "PodSecurityPolicy",
        "extensions/v1beta1",
    ),
    "OpenShift": "apiVersion: security.openshift.io/v1\nkind: SecurityContextConstraints\n"
    "metadata: {name: a}\nallowPrivilegedContainer: false\nallowPrivilegeEscalation: true\n"
    "readOnlyRootFilesystem: false\nrunAsUser: {type: MustRunAsRange}\nvolumes: [secret]\n",
    "a constraint": custom(
        "{parameters: {privileged: false, runAsUser: {rule: x}}}",
        "K8sPSP",
        "constraints.gatekeeper.sh/v1beta1",
    ),
    "a template": custom(
        "{crd: {spec: {validation: {openAPIV3Schema: {properties: {capabilities: {type: a}}}}}}}",
        "ConstraintTemplate",
        "templates.gatekeeper.sh/v1",
    ),
}


@pytest.mark.parametrize(
    "path",
    ["/spec/replicas", "/spec/template/spec/containers/0/resources/limits/memory",
     "/metadata/labels/team", "/spec/containers/1/image", "/apiServer/certSANs/-"],
)  # fmt: skip
def test_a_change_that_gives_nothing_passes(path: str, tmp_path: Path) -> None:
    spec = f"{{patches: [{{patch: '[{{op: replace, path: {path}, value: a}}]'}}]}}"
    assert strictly(custom(spec), tmp_path) == 0


@pytest.mark.parametrize("name", FORBIDDING)
def test_a_policy_that_forbids_passes(name: str, tmp_path: Path) -> None:
    assert strictly(FORBIDDING[name], tmp_path) == 0


@pytest.mark.parametrize(
    "spec",
    [
        "{privileged: false, runAsUser: {rule: x}}",
        f"{{template: {{spec: {{securityContext: {{{PATTERN}}}}}}}}}",
        "{containers: [{image: x, securityContext: [a]}]}",
        "{hostPID: true, hostNetwork: sometimes}",
    ],
)
def test_other_meanings_of_keys_are_not_judged(
    spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert strictly(custom(spec), tmp_path) == 1
    assert "not-judged" in capsys.readouterr().out


@pytest.mark.parametrize(
    "spec",
    [
        "{storage: {hostPath: {path: /srv/data}}}",
        "{patch: v1.2, manifest: files/a.yaml}",
        '{podSpecPatch: \'{"containers": [{"name": "main", "resources": {}}]}\'}',
    ],
)
def test_what_gives_no_power_passes(spec: str, tmp_path: Path) -> None:
    assert strictly(custom(spec), tmp_path) == 0


def test_a_pod_of_the_wrong_types_is_refused(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: Pod\nspec: {containers: [{securityContext: {privileged: 'no'}}]}"
    assert strictly(text, tmp_path) == 2
