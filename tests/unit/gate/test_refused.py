"""What the program that reads a file refuses, or grants by an annotation: a finding, and never in
a file that we write."""

from __future__ import annotations

from pathlib import Path

import pytest

from capadvise.cli import main
from capadvise.config import LANGUAGES
from capadvise.config.kubernetes import KUBERNETES
from capadvise.gate.files import plan
from capadvise.model.caps import Cap
from capadvise.model.errors import CannotPatch
from tests.support.hostile import BOX, START, bundle, pod, service
from tests.support.recordings import snippet_with

SOUND = "capabilities: {drop: [ALL]}, allowPrivilegeEscalation: false"
MOUNT = "  volumes: [{name: v, emptyDir: {}}]\n"


def mounting(context: str, mount: str) -> str:
    return pod(context, more=MOUNT).replace(
        "image: x", f"image: x\n    volumeMounts: [{{name: v, mountPath: /v, {mount}}}]"
    )


REFUSED = {
    "mountPropagation: Bidirectional": mounting(SOUND, "mountPropagation: Bidirectional"),
    "procMount: Unmasked": pod(f"{SOUND}, procMount: Unmasked"),
    "hostPID: true": pod(SOUND, more="  hostUsers: false\n  hostPID: true\n"),
    "hostIPC: true": pod(SOUND, more="  hostUsers: false\n  hostIPC: true\n"),
    "shareProcessNamespace: true": pod(
        SOUND, more="  hostPID: true\n  shareProcessNamespace: true\n"
    ),
    "privileged": pod("privileged: true, allowPrivilegeEscalation: false"),
    "CAP_SYS_ADMIN": pod("capabilities: {add: [CAP_SYS_ADMIN]}, allowPrivilegeEscalation: false"),
    "runAsUser: 0": pod(f"{SOUND}, runAsNonRoot: true, runAsUser: 0"),
    "seccompProfile": pod(f"{SOUND}, seccompProfile: {{type: Localhost}}"),
    "appArmorProfile": pod(
        f"{SOUND}, appArmorProfile: {{type: RuntimeDefault, localhostProfile: x}}"
    ),
}
TAKEN = {
    "host to container": mounting(SOUND, "mountPropagation: HostToContainer"),
    "unmasked in a user namespace": pod(
        f"{SOUND}, procMount: Unmasked", more="  hostUsers: false\n"
    ),
    "a profile of the node": pod(
        f"{SOUND}, seccompProfile: {{type: Localhost, localhostProfile: a.json}}"
    ),
    "bidirectional and privileged": mounting("privileged: true", "mountPropagation: Bidirectional"),
    "SYS_ADMIN": pod("capabilities: {add: [SYS_ADMIN]}, allowPrivilegeEscalation: false"),
    "another user": pod(f"{SOUND}, runAsNonRoot: true, runAsUser: 5"),
}


def said_of(file: Path, text: str, capsys: pytest.CaptureFixture[str]) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    main(["check", "--strict", str(file)])
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("what", REFUSED)
def test_the_api_server_refuses(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = said_of(tmp_path / "a.yaml", REFUSED[what], capsys)
    assert f"{what} is refused [rejected]" in said


@pytest.mark.parametrize("name", TAKEN)
def test_it_takes_the_others(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "[rejected]" not in said_of(tmp_path / "a.yaml", TAKEN[name], capsys)


def test_a_template_is_validated_and_a_kind_of_others_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box = f"{{name: c, image: x, securityContext: {{{SOUND}, procMount: Unmasked}}}}"
    spec = f"spec: {{template: {{spec: {{containers: [{box}]}}}}}}\n"
    own = f"apiVersion: apps/v1\nkind: Deployment\n{spec}"
    other = f"apiVersion: example.com/v1\nkind: Thing\n{spec}"
    assert "[rejected]" in said_of(tmp_path / "own.yaml", own, capsys)
    assert "[rejected]" not in said_of(tmp_path / "other.yaml", other, capsys)


def test_no_patch_leaves_what_is_refused_then() -> None:
    text = mounting("privileged: true", "mountPropagation: Bidirectional")
    with pytest.raises(CannotPatch, match="mountPropagation: Bidirectional, which is refused then"):
        KUBERNETES.patch(text, None, snippet_with(frozenset({Cap.parse("CHOWN")})))
    plain = mounting("privileged: true", "mountPropagation: None")
    assert (
        "privileged: false"
        in KUBERNETES.patch(plain, None, snippet_with(frozenset({Cap.parse("CHOWN")}))).text
    )


def test_podman_grants_a_name_that_kubernetes_ignores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = pod("capabilities: {drop: [ALL], add: [CAP_SYS_ADMIN]}")
    said = said_of(tmp_path / "a.yaml", text, capsys)
    assert "Kubernetes ignores it silently, but `podman kube play` grants it" in said


# ------------------------------------------------------------------------------ users' managers


@pytest.mark.parametrize("caps", [(), (Cap.parse("CHOWN"),)])
def test_no_patch_gives_such_a_unit_a_set(caps: tuple[Cap, ...], tmp_path: Path) -> None:
    (folder := tmp_path / "systemd" / "user").mkdir(parents=True)
    (unit := folder / "a.service").write_text(START)
    with pytest.raises(CannotPatch, match="218/CAPABILITIES"):
        plan(unit, LANGUAGES["systemd"], None, snippet_with(frozenset(caps)))
    assert unit.read_text() == START


@pytest.mark.parametrize("key", ["CapabilityBoundingSet", "AmbientCapabilities"])
def test_the_manager_of_a_user_has_no_capabilities(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = tmp_path / ".config" / "systemd" / "user" / "a.service"
    text = f"{START}{key}=CAP_CHOWN\n"
    assert f"{key}= is refused [rejected]" in said_of(unit, text, capsys)
    assert "218/CAPABILITIES" in said_of(unit, text, capsys)
    assert "[rejected]" not in said_of(unit, f"{text}ProtectSystem=yes\n", capsys)
    assert "[rejected]" in said_of(unit, f"{text}PrivateUsers=no\n", capsys)
    assert "[rejected]" not in said_of(tmp_path / "system" / "a.service", text, capsys)


def test_a_unit_of_a_user_is_not_asked_for_a_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = tmp_path / "systemd" / "user" / "a.service"
    assert "passed: nothing found" in said_of(unit, START, capsys)
    assert "[root-access]" not in said_of(unit, START, capsys)


# ------------------------------------------------------------------------------ annotations

SECCOMP, PODMAN = "seccomp.security.alpha.kubernetes.io", "io.podman.annotations"
OPEN = {
    f"{SECCOMP}/pod": "unconfined",
    f"container.{SECCOMP}/c": "unconfined",
    f"{PODMAN}.label": "disable",
    f"{PODMAN}.label/c": "type:spc_t",
    f"{PODMAN}.apparmor/c": "unconfined",
    f"{PODMAN}.volumes-from/c": "other",
    f"{PODMAN}.userns": "host",
    f"{PODMAN}.an-unknown-key": "x",
    "container.apparmor.security.beta.kubernetes.io/c": "unconfined",
    "cdi.k8s.io/gpu": "vendor.com/device=all",
    "io.kubernetes.cri-o.Devices": "/dev/sda",
    "run.oci.seccomp_bpf_data": "AAAA",
    "org.systemd.property.DeviceAllow": "[('/dev/sda', 'rwm')]",
}
HARMLESS = {
    f"{SECCOMP}/pod": "runtime/default",
    f"{PODMAN}.ulimit": "nofile=1:2",
    f"{PODMAN}.label": "level:s0:c1,c2",
    f"{PODMAN}.label/other": "disable",
    f"container.{SECCOMP}/other": "unconfined",
    "container.apparmor.security.beta.kubernetes.io/c": "localhost/mine",
    "prometheus.io/scrape": "true",
    "org.systemd.property.TimeoutStopUSec": "uint64 5",
}


def annotated(file: str, key: str, said: str) -> str:
    pair = f'{{"{key}": "{said}"}}'
    return {
        "pod.yaml": pod(SOUND).replace("{name: a}", f"{{name: a, annotations: {pair}}}"),
        "compose.yaml": service(f"annotations: {pair}"),
        "a.container": f'{BOX}Annotation="{key}={said}"\n',
        "config.json": bundle(annotations={key: said}),
    }[file]


@pytest.mark.parametrize("key", OPEN)
def test_an_annotation_that_a_runtime_reads(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["pod.yaml", "compose.yaml", "config.json", *["a.container"] * ("[" not in OPEN[key])]
    for file in files:
        said = said_of(tmp_path / file, annotated(file, key, OPEN[key]), capsys)
        assert said.endswith("of 1 file")
        assert "failed: " in said, file


@pytest.mark.parametrize("key", HARMLESS)
def test_other_annotations_are_quiet(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = annotated("pod.yaml", key, HARMLESS[key])
    assert "passed: " in said_of(tmp_path / "pod.yaml", text, capsys)


def test_podman_makes_a_volume_of_a_claim(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen with podman 5.4: its options are those of the annotations."""
    claim = (
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: v\n  annotations:\n"
        "    volume.podman.io/device: {}\n    volume.podman.io/mount-options: bind\n"
        "spec: {{accessModes: [ReadWriteOnce]}}\n"
    )
    file = tmp_path / "claim.yaml"
    assert "PersistentVolumeClaim/v gives /etc" in said_of(file, claim.format("/etc"), capsys)
    assert "passed: " in said_of(file, claim.format("/srv/data"), capsys)
