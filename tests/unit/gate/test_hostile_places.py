"""Files that give a container something of its host in ways that are not plain: none passes
``check --strict``."""

from __future__ import annotations

from pathlib import Path

import pytest

from capadvise.cli import main
from tests.support.gate_files import named
from tests.support.hostile import BOX, SOUND, UNIT, bundle, pod, service


def mounted(path: str, *, more: str = "") -> str:
    volume = f"  volumes: [{{name: h, hostPath: {{path: {path}}}}}]\n"
    mount = "image: x\n    volumeMounts: [{name: h, mountPath: /h}]"
    return pod(SOUND + more, more=volume).replace("image: x", mount)


HOST_PATHS = (
    *("/run/k3s", "/run/docker", "/run/dbus", "/run/user/1000", "/run/buildkit", "/run/libvirt"),
    *("/run/snapd.socket", "/usr/local/bin", "/usr/lib", "/usr/local", "/lib/x86_64-linux-gnu"),
    *("/etc/ld.so.conf.d", "/etc/cron.weekly", "/etc/modprobe.d", "/etc/containers"),
    *("/etc/gshadow", "/etc/rc.local", "/root/.bashrc", "/home/u/.ssh", "/root/.kube/config"),
    *("/var/lib/etcd", "/proc/1/root", "/dev/shm/../mem", "/etc/./ssl/private"),
)
CUSTOM = "apiVersion: x/v1\nkind: Agent\nmetadata: {name: x}\nspec: "
KUBERNETES = {
    **{f"the folder {path}": mounted(path) for path in HOST_PATHS},
    "AppArmor off by annotation": pod(SOUND).replace(
        "{name: a}",
        "{name: a, annotations: {container.apparmor.security.beta.kubernetes.io/c: unconfined}}",
    ),
    "SELinux off": pod(f"{SOUND}, seLinuxOptions: {{type: spc_t}}"),
    "SELinux off for the pod": pod(
        SOUND, more="  securityContext: {seLinuxOptions: {type: spc_t}}\n"
    ),
    "a process of a Windows node": pod(
        f"{SOUND}, windowsOptions: {{hostProcess: true}}", more="  os: {name: windows}\n"
    ),
    "the host's network, no containers": f"{CUSTOM}{{hostNetwork: true}}\n",
    "the host's processes, deep inside": f"{CUSTOM}{{override: {{node: {{hostPID: on}}}}}}\n",
    "the host's root, no containers": CUSTOM + "{volumes: [{name: h, hostPath: {path: /}}]}\n",
    "a volume of a node": "apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: x}\n"
    "spec: {hostPath: {path: /}}\n",
    "a local volume": "apiVersion: v1\nkind: PersistentVolume\nspec: {local: {path: /etc}}\n",
    "a list that is a ConfigMap": "apiVersion: v1\nkind: ConfigMap\nitems: [{kind: Pod, spec: "
    "{containers: [{name: d, securityContext: {privileged: true}}]}}]\n",
}
DEVICES = (
    *("/dev/sg0", "/dev/nvme0", "/dev/nbd0", "/dev/rbd0", "/dev/zd0", "/dev/mtd0", "/dev/pmem0"),
    *("/dev/bsg/0:0:0:0", "/dev/cpu/0/msr", "/dev/drbd0", "/dev/bcache0", "//dev/./mem"),
)
DEEP = "../../../../../../../../.."
COMPOSE = {
    **{f"the device {path}": service(f"devices: ['{path}']") for path in DEVICES},
    **{
        f"devices {rule}": service(f"device_cgroup_rules: ['{rule}']")
        for rule in ("c 1:1 rwm", "c 1:* rwm", "c 21:0 rw", "c 202:* r", "b 8:0 rwm", "c *:* m")
    },
    "a command of watch": service(
        "develop: {watch: [{action: sync+exec, path: ., target: /x, "
        "exec: {command: x, privileged: true}}]}"
    ),
    "a secret that is the socket": service("secrets: [s]")
    + "secrets: {s: {file: /var/run/docker.sock}}\n",
    "a config that is a secret": service("configs: [{source: s, target: /s}]")
    + "configs: {s: {file: /etc/shadow}}\n",
    "up to the root": service(f"volumes: ['{DEEP}:/h']"),
    "up to /etc": service(f"volumes: ['./{DEEP}/etc:/h']"),
    "up to the root, in full": service(f"volumes: [{{type: bind, source: {DEEP}, target: /h}}]"),
    "a home": service("volumes: ['~:/h']"),
    "keys": service("volumes: ['~/.ssh:/h']"),
    "keys by a variable": service("volumes: ['${HOME}/.ssh:/h']"),
    "a default in a default": service("volumes: ['${A:-${B:-/var/run/docker.sock}}:/s']"),
    "no SELinux, with colons": service("security_opt: ['label:type:spc_t']"),
    "no SELinux": service("security_opt: ['label=type:spc_t']"),
    "no SELinux, in short": service("security_opt: [disable]"),
    "an option that is a variable": service("security_opt: ['${S}']"),
    "a filter that is a variable": service("security_opt: ['seccomp=${S}']"),
    "a device that is a variable": service("devices: ['${V}']"),
    "layers of the root": service("volumes: ['v:/v']")
    + "volumes: {v: {driver_opts: {type: overlay, device: x, o: 'lowerdir=/,upperdir=/u'}}}\n",
    "the host's network by name": service("networks: [h]")
    + "networks: {h: {external: true, name: host}}\n",
    "the host's network by its key": service("networks: {host: {}}")
    + "networks: {host: {external: true}}\n",
    "the host's network for all": service("tty: true")
    + "networks: {default: {external: true, name: host}}\n",
    "the host's network by a default": service("networks: [h]")
    + "networks: {h: {external: true, name: '${N:-host}'}}\n",
    "a network that is a variable": service("networks: [h]")
    + "networks: {h: {external: true, name: '${N}'}}\n",
    "the engine's pipe": service(
        r"volumes: [{type: npipe, source: '\\.\pipe\docker_engine', target: 'x'}]"
    ),
}
UNITS = {
    "a group that reads disks": UNIT + "User=x\nGroup=disk\n",
    "a group that reads memory": UNIT + "User=x\nSupplementaryGroups=kmem\n",
    "a condition": UNIT + "ExecCondition=+/bin/sh\n",
    "a command after a reset": UNIT
    + "ExecStartPre=/bin/a\nExecStartPre=\nExecStartPre=@+/bin/sh x\n",
}
QUADLETS = {
    **{
        f"Volume={value}": f"{BOX}Volume={value}\n"
        for value in ("%t:/t", "%h/.ssh:/s", "%h:/h", "%E:/e", "../../..:/h", "/:/h:O")
    },
    "an overlay of the root": "[Container]\nRootfs=/:O\nDropCapability=all\n",
    "a folder in place of an image": "[Container]\nImage=/\nDropCapability=all\n"
    "PodmanArgs=--rootfs\n",
    "all in the root": BOX + "Mount=type=glob,src=/*,dst=/h\n",
    "all in /etc": BOX + "Mount=type=glob,src=/etc/*,dst=/h\n",
    "not read-only": BOX + "Mount=type=bind,src=/etc,dst=/h,ro=F\n",
    "the network by its file": BOX + "Network=ns:/proc/1/ns/net\n",
    "the processes by their file": BOX + "PodmanArgs=--pid=ns:/proc/1/ns/pid\n",
    "the memory by its file": BOX + "PodmanArgs=--ipc ns:/proc/1/ns/ipc\n",
    "another's volumes": BOX + "PodmanArgs=--volumes-from=x\n",
    "another's pod": BOX + "PodmanArgs=--pod=x\n",
    "no SELinux": BOX + "SecurityLabelType=spc_t\n",
    "no SELinux by arguments": BOX + "PodmanArgs=--security-opt=label=type:spc_t\n",
    "other defaults": BOX + "[Service]\nEnvironment=CONTAINERS_CONF_OVERRIDE=/evil.conf\n",
    "other defaults in quotes": BOX + "[Service]\nEnvironment=\"A=b\" 'CONTAINERS_CONF=/x'\n",
    "an environment elsewhere": BOX + "[Service]\nEnvironmentFile=/evil\n",
    "a log that is a table of cron": BOX + "LogDriver=k8s-file\nLogOpt=path=/etc/cron.d/x\n",
    "the same by arguments": BOX + "PodmanArgs=--log-opt=path=/etc/cron.d/x\n",
    "a disk by its generic name": BOX + "AddDevice=/dev/sg0\n",
}


def with_mount(kind: str, source: str, *options: str) -> str:
    mount = {"destination": "/h", "type": kind, "source": source, "options": list(options)}
    return bundle(mounts=[mount])


def with_device(kind: str, major: int, minor: int) -> str:
    device = {"path": "/dev/x", "type": kind, "major": major, "minor": minor}
    return bundle({"devices": [device]})


BUNDLES = {
    "no namespaces at all": bundle().replace('"linux"', '"linuxx"'),
    "a disk under another name": with_device("b", 8, 0),
    "the memory under another name": with_device("c", 1, 1),
    "all devices": bundle({"resources": {"devices": [{"allow": True, "access": "rwm"}]}}),
    "no readonlyPaths": bundle({"readonlyPaths": []}),
    "a filter that lets all through": bundle({"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}),
    "no AppArmor": bundle(process={"apparmorProfile": "unconfined"}),
    "no SELinux": bundle(process={"selinuxLabel": "system_u:system_r:spc_t:s0"}),
    "a file system of the host": with_mount("ext4", "/dev/sda1"),
    "layers of the root": with_mount("overlay", "overlay", "lowerdir=/", "upperdir=/u"),
    "all of /dev": with_mount("devtmpfs", "x"),
    "a writable sysfs": with_mount("sysfs", "sysfs"),
    "debugfs": with_mount("debugfs", "x"),
    "up to the root": with_mount("bind", DEEP, "rbind"),
    "a root file system far up": bundle(root={"path": DEEP}),
}


def test_none_passes(tmp_path: Path) -> None:
    passed = []
    for file, name, text in named(KUBERNETES, COMPOSE, UNITS, QUADLETS, BUNDLES):
        path = tmp_path / file
        path.write_text(text)
        if main(["check", "--strict", str(path)]) != 1:
            passed.append(f"{file}: {name}")
        path.unlink()
    assert passed == []


@pytest.mark.parametrize("user", ["0x0", "00", "0.0", "-0", "0b0", "0_0"])
def test_root_in_another_spelling_is_root(user: str, tmp_path: Path) -> None:
    """kubectl makes 0 of each: what root reaches is an error, not a warning."""
    (tmp_path / "pod.yaml").write_text(mounted("/run/docker.sock", more=f", runAsUser: {user}"))
    assert main(["check", str(tmp_path / "pod.yaml")]) == 1
    compose = service(f"user: '{user}', volumes: ['/run/docker.sock:/s']")
    (tmp_path / "compose.yaml").write_text(compose)
    assert main(["check", str(tmp_path / "compose.yaml")]) == 1


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (
            "compose.yaml",
            service("user: '1', group_add: ['999'], volumes: ['/run/docker.sock:/s']"),
        ),
        ("compose.yaml", service("user: '1:999', volumes: ['/run/docker.sock:/s']")),
        ("pod.yaml", mounted("/run/docker.sock", more=", runAsUser: 1, runAsGroup: 999")),
        (
            "pod.yaml",
            mounted("/run/docker.sock", more=", runAsUser: 1")
            + "  securityContext: {supplementalGroups: [999]}\n",
        ),
    ],
)
def test_a_group_lets_another_user_reach_the_socket(file: str, text: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(text)
    assert main(["check", str(tmp_path / file)]) == 1
    alone = text.replace("999", "1").replace("group_add", "x-group").replace("supplem", "x")
    (tmp_path / file).write_text(alone)
    assert main(["check", str(tmp_path / file)]) == 0


SOUND_FILES = {
    "compose.yaml": service(
        "volumes: ['./data:/d', '..:/work', '/etc/localtime:/etc/localtime', 'v:/v', "
        "'/usr/share/zoneinfo:/z:ro'], networks: [n], secrets: [s], devices: ['/dev/ttyUSB0'], "
        "device_cgroup_rules: ['c 166:* rwm'], user: '1000:1000'"
    )
    + "volumes: {v: {}}\nnetworks: {n: {external: true, name: web}}\n"
    "secrets: {s: {file: ./secret}}\n",
    "pod.yaml": mounted("/var/log/app", more=", runAsUser: 1000"),
    "a.container": BOX + "Volume=%h/data:/d\nVolume=./x:/x\nMount=type=bind,src=/srv/a,dst=/a,ro\n",
    "config.json": bundle(
        {"devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]},
        mounts=[{"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]}],
    ),
}


@pytest.mark.parametrize("file", SOUND_FILES)
def test_what_is_usual_passes(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / file).write_text(SOUND_FILES[file])
    assert main(["check", "--strict", str(tmp_path / file)]) == 0, capsys.readouterr()
