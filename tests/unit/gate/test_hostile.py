"""Files that are written to fool a gate: none passes ``check --strict``.

What real consumers make of generated ones is in tests/differential.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from capadvise.cli import main
from tests.support.gate_files import named
from tests.support.hostile import BOX, SERVICE, SOUND, START, UNIT, pod, service

BAD = "{name: d, securityContext: {privileged: true}}"
KUBERNETES = {
    "a later merge key": pod(f"{SOUND}, privileged: false, <<: {{privileged: true}}"),
    "two merge keys": pod(f"<<: {{privileged: false}}, <<: {{privileged: true}}, {SOUND}"),
    "a tag on a list": pod("capabilities: {drop: [ALL], add: !reset [SYS_ADMIN]}"),
    "a null tag": pod("capabilities: {drop: [ALL], add: !!null [SYS_ADMIN]}"),
    "a tagged list of containers": pod(SOUND, more=f"  initContainers: !reset [{BAD}]\n"),
    "a binary key": pod(f"{SOUND}, !!binary cHJpdmlsZWdlZA==: true"),
    "an aliased key": f"x: &k privileged\n{pod(f'{SOUND}, *k : true')}",
    "another case": pod(f"{SOUND}, Privileged: true"),
    "json with a key twice": '{"kind":"Pod","spec":{"containers":[{"name":"c","securityContext":'
    '{"privileged":true,"capabilities":{"drop":["ALL"]},"privileged":false}}]}}',
    "a pod that looks like a bundle": '{"ociVersion":"1.0","process":{},"kind":"Pod","spec":'
    '{"containers":[{"name":"c","securityContext":{"privileged":true}}]}}',
    "a document on the line of its separator": f"kind: List\nitems: []\n--- {{}}\n{pod(SOUND)}",
    "a list of any kind": f"kind: Pods\nitems:\n- kind: Pod\n  spec: {{containers: [{BAD}]}}\n",
    "a kind with a template": "kind: Rollout\nspec: {template: {spec: {containers: ["
    + f"{BAD}]}}}}}}\n",
    "Argo": "kind: Workflow\nspec: {templates: [{container: {image: x, securityContext: "
    "{privileged: true}}}]}\n",
    "Tekton": f"kind: Task\nspec: {{steps: [{BAD}]}}\n",
    "Prometheus": f"kind: Prometheus\nspec: {{containers: [{BAD}]}}\n",
    "containers by name": "kind: W\nspec: {containers: {a: {image: x, securityContext: "
    "{privileged: true}}}}\n",
    "a context of its own name": "kind: W\nspec: {containerSecurityContext: {privileged: true}}\n",
    "a kustomization": "kind: Kustomization\nresources: [bad.yaml]\n",
    "a chart": "apiVersion: helm.cattle.io/v1\nkind: HelmChart\nspec: {chart: x}\n",
    "the host's root": pod(SOUND, more="  volumes: [{name: h, hostPath: {path: /}}]\n").replace(
        "image: x", "image: x\n    volumeMounts: [{name: h, mountPath: /h}]"
    ),
    "the host's processes": pod(SOUND, more="  hostPID: true\n"),
    "a lone carriage return": pod(f"{SOUND}, privileged: false") + "# x\r---\rkind: Pod\n",
    "only in name on Windows": pod("privileged: true", more="  os: {name: windows}\n"),
    "a separator of lines": pod(SOUND).replace("image: x", "image: x # \u2028    stdin: true"),
}
COMPOSE = {
    "a null tag": service("cap_add: !!null [SYS_ADMIN]"),
    "a binary key": service("!!binary cHJpdmlsZWdlZA==: true"),
    "includes as JSON": '{"services": {}, "incl\\u0075de": ["base.yaml"]}\n',
    "includes by a tagged key": "services: {}\n!!str include: [base.yaml]\n",
    "includes by an odd key": "services: {}\n? include\n: [base.yaml]\n",
    "a privileged hook": service("post_start: [{command: x, privileged: true}]"),
    "a privileged build": service("build: {context: ., privileged: true}"),
    "the engine's socket": service("volumes: ['/var/run/docker.sock:/s']"),
    "the socket's folder": service("volumes: ['/run/:/host/run:ro']"),
    "a detour to the socket": service("volumes: ['/etc/../run/docker.sock:/s']"),
    "a default that is the socket": service("volumes: ['${S:-/var/run/docker.sock}:/s']"),
    "a volume that is a folder": service("volumes: ['v:/v']")
    + "volumes: {v: {driver_opts: {type: none, o: bind, device: /etc}}}\n",
    "memory": service("devices: ['/dev/mem']"),
    "all devices": service("device_cgroup_rules: ['a *:* rwm']"),
    "the host's processes": service("pid: host"),
    "no filter": service("security_opt: ['seccomp=unconfined']"),
    "the socket by a switch": service("use_api_socket: true"),
    "two kinds at once": f"kind: Pod\nservices: {{a: {{{SERVICE}}}}}\n",
    "a variable": service("privileged: '${P:-false}'"),
    "a reset that a merge undoes": "x: &x {cap_add: [SYS_MODULE]}\n"
    + service("cap_add: !reset [KILL], <<: *x"),
}
UNITS = {
    "a plus": UNIT.replace("=/bin/true", "=+/bin/true"),
    "a plus behind others": UNIT.replace("=/bin/true", "=-@+/bin/true x"),
    "a plus in quotes": UNIT.replace("=/bin/true", '="+/bin/true"'),
    "a plus as an escape": UNIT.replace("=/bin/true", "=\\x2b/bin/true"),
    "a plus in the second command": UNIT + "Type=oneshot\nExecStart=/bin/true ; +/bin/sh\n",
    "a plus before the start": UNIT + "ExecStartPre=+/bin/sh\n",
    "only the start is restrained": UNIT + "PermissionsStartOnly=yes\nExecStartPre=/bin/sh\n",
    "a blank after the backslash": UNIT + "Environment=A=b \\ \nCapabilityBoundingSet=~\n",
    "nothing, inverted": UNIT + 'CapabilityBoundingSet=~""\n',
    "a name that is none, inverted": UNIT + "CapabilityBoundingSet=~CAP_BOGUS\n",
    "a NUL in a comment": UNIT + "# x\x00CapabilityBoundingSet=~\n",
    "a carriage return": UNIT + "Environment=A=b\rCapabilityBoundingSet=~\n",
    "a stray section": UNIT + "[Container]\nA=\\\\\n[Service]\nCapabilityBoundingSet=~\n",
    "a section of another kind": START + "[Socket]\nCapabilityBoundingSet=\n",
    "octal numbers": START + "CapabilityBoundingSet=020 014 023\n",
    "hexadecimal numbers": START + "CapabilityBoundingSet=0x15\n",
    "a group": UNIT + "User=nobody\nSupplementaryGroups=docker\n",
    "ambient, inverted": UNIT + "AmbientCapabilities=~CAP_CHOWN\n",
}
QUADLETS = {
    "an escape": BOX + "PodmanArgs=--privile\\x67ed\n",
    "an escaped equals": BOX + "PodmanArgs=--cap-add\\x3dALL\n",
    "another command": BOX + "GlobalArgs=run --privileged localhost/evil\n",
    "a carriage return": "[Container]\nImage=x\nEnvironment=A=b\rDropCapability=all\n",
    "an image that is an option": BOX.replace("=x", "=--privileged") + "Exec=localhost/evil\n",
    "a word that is an image": BOX + "PodmanArgs=localhost/evil --privileged\n",
    "a variable": BOX + "HostName=$A\n[Service]\nEnvironment='A=a --privileged'\n",
    "a variable that is an image": BOX.replace("=x", "=${A}") + "Exec=evil\n",
    "a specifier": BOX + "PodmanArgs=--privileg%j\n",
    "an empty word": BOX.replace("=all", '="" all'),
    "a module": BOX + "ContainersConfModule=/etc/x.conf\n",
    "a split key": BOX + "Add\\\nCapability=all\n",
    "the host's processes": BOX + "PodmanArgs=--pid=host\n",
    "everything unmasked": BOX + "Unmask=ALL\n",
    "a letter of a cluster": BOX + "PodmanArgs=-itv /:/host\n",
    "a mount": BOX + "Mount=type=bind,source=/,target=/h\n",
    "a command of the host": BOX + "[Service]\nExecStartPre=/bin/sh\n",
    "quotes in a list": BOX + "PodmanArgs=--cap-add='\"SYS_ADMIN\",KILL'\n",
    "the host as the root file system": "[Container]\nRootfs=/\nDropCapability=all\n",
    "a name that is an option": BOX + "Environment=A=b \\\n --cap-add=SYS_ADMIN\n",
    "a pod": BOX + "Pod=x.pod\n",
}
PROCESS = '{"ociVersion": "1.0.2", "process": {"capabilities": {"bounding": []}%s}%s}\n'
ADMIN = '{"bounding": ["CAP_SYS_ADMIN"]}'
BUNDLES = {
    "the process twice": PROCESS % ("", f', "process": {{"capabilities": {ADMIN}}}'),
    "another case": PROCESS.replace("[]}", '[], "Bounding": ["CAP_SYS_ADMIN"]}') % ("", ""),
    "a letter that folds": PROCESS % (f', "capabilitie\u017f": {ADMIN}', ""),
    "inheritable": PROCESS.replace("[]}", '[], "inheritable": ["CAP_SYS_ADMIN"]}') % ("", ""),
    "what follows": (PROCESS % ("", "")) + "{}",
    "the host as the root file system": PROCESS % ("", ', "root": {"path": "/"}'),
    "a hook": PROCESS % ("", ', "hooks": {"prestart": [{"path": "/bin/sh"}]}'),
    "a mount": PROCESS
    % ("", ', "mounts": [{"destination": "/h", "source": "/", "options": ["rbind"]}]'),
}  # fmt: skip


def test_none_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is a finding, or is refused by its line."""
    (tmp_path / "base.yaml").write_text("services: {bad: {image: x, privileged: true}}\n")
    passed = []
    for file, name, text in named(KUBERNETES, COMPOSE, UNITS, QUADLETS, BUNDLES):
        path = tmp_path / file
        path.write_bytes(text.encode())
        status = main(["check", "--strict", str(path)])
        said = capsys.readouterr().err
        refused = status == 2 and "line " in said and "Traceback" not in said
        if not (refused or (status == 1 and "Traceback" not in said)):
            passed.append(f"{file}: {name}")
        path.unlink()
    assert passed == []


SOUND_FILES = {
    "pod.yaml": pod(SOUND),
    "compose.yaml": f"x-a: &a {{init: true}}\nservices: {{a: {{<<: *a, {SERVICE}}}}}\n",
    "a.service": UNIT + "ExecStartPre=-/bin/sh -c 'echo \\d; true'\nEnvironment=\"A=b c\"\n",
    "a.container": BOX + "PodmanArgs=--log-opt tag=%N --env A=b\nVolume=%h/data:/data\nExec=$A\n",
    "config.json": (PROCESS % ("", "")).replace(", ", ",\n\t"),
}


@pytest.mark.parametrize("file", SOUND_FILES)
def test_a_sound_file_passes(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / file).write_text(SOUND_FILES[file])
    assert main(["check", "--strict", str(tmp_path / file)]) == 0, capsys.readouterr()
