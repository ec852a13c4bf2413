"""What of the host a file reaches in ways that a list of paths and words does not know: none passes
``check --strict``. The classes of the last review, each in several spellings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capadvise.cli import main
from tests.support.hostile import BOX, START, UNIT, bundle, pod, service

USER = START + "CapabilityBoundingSet=\nUser=web\nNoNewPrivileges=yes\n"


def volume(**options: str) -> str:
    said = json.dumps(options)
    return service("volumes: ['v:/v']") + f"volumes: {{v: {{driver_opts: {said}}}}}\n"


def driven(**keys: object) -> str:
    return service("volumes: ['v:/v']") + f"volumes: {{v: {json.dumps(keys)}}}\n"


WRITABLE = (
    *("/etc/logrotate.d", "/etc/sudo.conf", "/etc/cdi", "/etc/apparmor.d", "/etc/update-motd.d"),
    *("/etc/kernel/postinst.d", "/etc/network/if-up.d", "/etc/an-unknown-program.d", "/etc/rc2.d"),
    *("/run/cdi", "/var/lib/cloud/scripts/per-boot", "/var/lib/dpkg/info", "/var/spool/at"),
    *("/var/lib/an-unknown-program", "/var/cache/apt/archives", "/sysroot", "/ostree", "/var/log"),
    *("/var/lib/dkms", "/usr/src", "/home/u/.local/share/x", "/opt/containerd/bin", "/.snapshots"),
    *("/proc/thread-self/root/etc/cron.d", "/var/run/../../etc/cron.d", "/dev/fd/3", "/tmp"),
    *("/snap/core", "/nix/var", "/dev/input", "/dev/vfio", "/dev/uinput", "/dev/shm", "/opt/x/bin"),
)
READABLE = (
    *("/proc/self/root", "/proc/self/root/run", "/proc/thread-self/root/etc/shadow", "/proc/1/cwd"),
    *("/proc/7/root/run/docker.sock", "/proc/self/task/1/root", "/proc/self/root/proc/1/root"),
    *("/proc/self/cwd/etc/shadow", "/proc/1", "/proc/self/fd", "/proc/./self//root/"),
    *("/run/libvirt/virtqemud-sock", "/run/finch.sock", "/run/balena.sock", "/run/isulad.sock"),
    *("/run/user/1000/bus", "/nix/var/nix/daemon-socket/socket", "/tmp/.X11-unix", "/run/x.sock"),
    *("/srv/agent.sock", "/opt/x/control.socket", "/run/an-unknown-program"),
)
DEVICES = (
    *("/dev/ubuntu-vg/ubuntu-lv", "/dev/pve/root", "/dev/vg0/data", "/dev/dasda1", "/dev/ng0n1"),
    *("/dev/raw/raw1", "/dev/vfio/12", "/dev/uinput", "/dev/input", "/dev/input/event3", "dev/sda"),
    *("/dev/bus/usb", "/dev/loop-control", "/dev/hidraw0", "/dev/kmsg", "/opt/link", "/dev/./sda"),
    *("evil.com/all=all", "/dev/snd/../sda", "/dev/tpm0", "/dev/mei0", "/dev/an-unknown-name"),
)
RULES = ("c 10:* rwm", "c 13:* rwm", "c 10:223 rw", "c 189:* rwm", "c 240:0 rw", "c 1:11 rw")
COMPOSE = {
    **{f"writes {path}": service(f"volumes: ['{path}:/x']") for path in WRITABLE},
    **{f"reads {path}": service(f"volumes: ['{path}:/x:ro']") for path in READABLE},
    **{f"the device {path}": service(f"devices: ['{path}']") for path in DEVICES},
    **{f"devices {rule}": service(f"device_cgroup_rules: ['{rule}']") for rule in RULES},
    **{
        f"a volume of type {kind}": volume(type=kind, device=kind)
        for kind in (
            *("proc", "sysfs", "binfmt_misc", "devtmpfs", "debugfs", "tracefs", "securityfs"),
            *("cgroup2", "bpf", "configfs", "efivarfs", "nsfs", "9p", "virtiofs", "fuse.sshfs"),
        )
    },
    **{
        f"a volume of {device}": volume(type="ext4", device=device)
        for device in ("LABEL=root", "UUID=1-2", "PARTUUID=1", "/dev/sda1", "/dev/vg0/root")
    },
    "upper layers": volume(type="overlay", device="x", o="lowerdir=/srv,upperdir=/etc,workdir=/w"),
    "lower layers": volume(type="overlay", device="x", o="lowerdir=/srv:/root/.ssh"),
    "a type, read-only": volume(type="proc", device="proc", o="ro,nosuid"),
    "a type by a default": volume(type="${T:-proc}", device="proc"),
    "a bind of a process's root": volume(type="none", o="rbind,ro", device="/proc/self/root"),
    "an unknown driver": driven(driver="local-persist", driver_opts={"mountpoint": "/etc"}),
    "a driver alone": driven(driver="vendor/x:latest"),
    **{
        f"security_opt {said}": service(f"security_opt: ['{said}']")
        for said in (
            *("writable-cgroups", "writable-cgroups=1", "writable-cgroups=T", "disable"),
            *("writable-cgroups:TRUE", "label=type:an_unknown_t", "writable-cgroups: 1"),
        )
    },
    **{
        f"{key}: {said}": service(f"{key}: '{said}'")
        for key, said in (
            *(("userns_mode", "host"), ("network_mode", "container:x"), ("ipc", "container:x")),
            *(("network_mode", "${N:-container:x}"), ("pid", "container:x")),
        )
    },
    "gains in Go's spelling": service("cap_add: [KILL], security_opt: ['no-new-privileges=0']"),
    "a secret of the build": service("build: {context: ., secrets: [s]}")
    + "secrets: {s: {file: /etc/shadow}}\n",
    "a secret of the build, in full": service("build: {context: ., secrets: [{source: s}]}")
    + "secrets: {s: {file: /var/run/docker.sock}}\n",
}
QUADLETS = {
    **{
        f"Mount={value}": f"{BOX}Mount={value}\n"
        for value in (
            *("'type=bind,\"source=/\",dst=/x'", "'type=bind,\"src=/run/docker.sock\",dst=/x'"),
            *('\'type=bind,"source=/etc",dst=/x,"rw"\'', '\'"type=bind","source=/","dst=/x"\''),
            *(
                "'type=bind,src=/srv,\"src=/\",dst=/x'",
                "type=bind,source=/proc/self/root,dst=/x,ro",
            ),
            "type=volume,dst=/x,volume-opt=type=proc,volume-opt=device=proc",
            "type=volume,src=v,dst=/x,volume-driver=evil",
        )
    },
    **{
        f"PodmanArgs={value}": f"{BOX}PodmanArgs={value}\n"
        for value in (
            *("--mount='type=bind,\"source=/\",dst=/x'", "--device=/dev/vg0/root"),
            *('\'--device-cgroup-rule="c 1:3 r","b 8:* rwm"\'', "--network=container:x"),
            *("'--device-cgroup-rule=c 1:3 r,b 8:* rwm'", "--ipc=container:x --userns=host"),
            *("--security-opt=writable-cgroups=1", "--device=/dev/uinput"),
            *("'--mount=\"src=%t\",dst=/x,type=bind'", "-v=%h/.ssh:/x"),
        )
    },
    **{
        f"[Service] {line}": f"{BOX}[Service]\n{line}\n"
        for line in (
            *("Environment=XDG_CONFIG_HOME=/tmp/c", "Environment=LD_PRELOAD=/x.so"),
            *("Environment=TZ=UTC HOME=/tmp", "BindPaths=/tmp/conf:/etc/containers"),
            *("OpenFile=/etc/shadow", "StandardOutput=append:/etc/cron.d/x", "RootDirectory=/x"),
            *("PassEnvironment=XDG_RUNTIME_DIR", "LoadCredential=k:/etc/shadow", "User=root"),
            *("WorkingDirectory=/tmp", "MountFlags=shared", "UnsetEnvironment=PATH"),
        )
    },
    "another's network": BOX + "Network=x.container\nNetwork=container:x\n",
}
UNITS = {
    line: USER + line + "\n"
    for line in (
        *("OpenFile=/etc/shadow:d:append", "OpenFile=/run/docker.sock:s", "OpenFile=/etc/shadow"),
        *("OpenFile=/etc/cron.d/x:d:truncate,graceful", "OpenFile=/dev/sda:d:read-only"),
        *("OpenFile=/etc/shadow::read-only", "OpenFile=/et\\x63/shadow", "OpenFile=/proc/kcore"),
        *("StandardOutput=append:/etc/cron.d/x", "StandardError=truncate:/etc/sudoers.d/x"),
        *("StandardOutput=file:/usr/local/bin/x", "StandardInput=file:/etc/shadow"),
        *("LoadCredential=k:/etc/shadow", "LoadCredentialEncrypted=k:/root/.ssh/id_ed25519"),
        *("LoadCredential=k:/run/docker.sock", "RuntimeDirectory=systemd/system"),
        *("StateDirectory=dpkg", "StateDirectory=mine:dpkg", "StateDirectory=mine dpkg/info"),
        *("CacheDirectory=apt/archives", "ConfigurationDirectory=cron.d", "LogsDirectory=journal"),
        *("RuntimeDirectory=docker", "RuntimeDirectory=sshd", "StateDirectory=cloud/scripts"),
        *("SupplementaryGroups=6", "Group=42", "SupplementaryGroups=15 44", "Group=shadow"),
        *("SupplementaryGroups=sudo", "SupplementaryGroups=%i", "SupplementaryGroups=987"),
    )
}
NAMED = {
    "etc.container": BOX + "Volume=/%N:/k\n",
    "docker.container": BOX + "Volume=%t/%p.sock:/k\n",
    "dpkg.container": BOX + "Volume=%C/../lib/%p:/k\n",
    "x@etc.container": BOX + "Volume=/%i:/k\n",
    "x@.container": BOX + "Volume=/%i:/k\n",
    "x@etc-cron.d.container": BOX + "Volume=%f:/k\n",
    "my-etc.container": BOX + "Mount=type=bind,source=/%j,dst=/k\n",
    "a.container": BOX + "ServiceName=etc\nVolume=/%N:/k\n",
    "b.container": BOX + "Volume=/%H:/k\n",
    "etc-cron.d.container": BOX + "Volume=/%P:/k\n",
    "disk.service": USER + "SupplementaryGroups=%N\n",
    "docker.service": USER + "SupplementaryGroups=%p\n",
    "a@docker.service": USER + "Group=%i\n",
    "shadow.service": USER + "OpenFile=/etc/%p:d:append\n",
    "a@dpkg.service": USER + "StateDirectory=%i\n",
    "cron.service": USER + "StandardOutput=append:/etc/%N.d/x\n",
    "proc.volume": "[Volume]\nType=proc\nDevice=proc\n",
    "label.volume": "[Volume]\nType=ext4\nDevice=LABEL=root\n",
    "uuid.volume": "[Volume]\nType=xfs\nDevice=UUID=1-2-3\n",
    "layers.volume": "[Volume]\nType=overlay\nDevice=overlay\n"
    "Options=lowerdir=/,upperdir=/etc,workdir=/w\n",
    "driver.volume": "[Volume]\nDriver=evil\n",
    "etc.volume": "[Volume]\nType=none\nOptions=bind\nDevice=/%p\n",
    "host.container": BOX + "Network=%N\n",
    "unconfined.container": BOX + "SeccompProfile=%p\n",
    "yes.container": "[Container]\nImage=x\nAddCapability=KILL\nNoNewPrivileges=%N\n",
    "CAP_KILL.service": START + "CapabilityBoundingSet=%N\nUser=web\n",
    "web.service.d/x.conf": "[Service]\nOpenFile=/etc/shadow:d\n",
    "shadow.service.d/x.conf": "[Service]\nLoadCredential=k:/etc/%p\n",
    "secret.build": "[Build]\nImageTag=x\nSecret=id=s,src=/etc/shadow\n",
}


def mounting(kind: str, source: str = "none", *options: str) -> str:
    mount = {"destination": "/h", "type": kind, "source": source, "options": list(options)}
    return bundle(mounts=[mount])


def filtering(**profile: object) -> str:
    return bundle({"seccomp": profile})


ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
LET_THROUGH = ["mount", "bpf", "setns", "finit_module", "kexec_load"]
ALWAYS = [{"index": 0, "value": 0, "op": "SCMP_CMP_GE"}]
FILTERS: dict[str, dict[str, object]] = {
    "one error": {
        "defaultAction": ALLOW,
        "syscalls": [{"names": ["acct"], "action": ERRNO}],
    },
    "some errors": {
        "defaultAction": "SCMP_ACT_LOG",
        "syscalls": [{"names": ["acct", "reboot", "swapon", "swapoff"], "action": ERRNO}],
    },
    "errors under a condition": {
        "defaultAction": ALLOW,
        "syscalls": [{"names": ["bpf", *LET_THROUGH], "action": ERRNO, "args": ALWAYS}],
    },
    "some let through": {
        "defaultAction": ERRNO,
        "syscalls": [{"names": LET_THROUGH, "action": ALLOW}],
    },
    "let through under a condition": {
        "defaultAction": ERRNO,
        "syscalls": [{"names": LET_THROUGH, "action": ALLOW, "args": ALWAYS}],
    },
    "in the old spelling": {
        "defaultAction": ERRNO,
        "syscalls": [{"name": name, "action": ALLOW} for name in LET_THROUGH],
    },
    "a program that decides": {"defaultAction": "SCMP_ACT_NOTIFY"},
    "nothing": {},
}
BUNDLES = {
    **{f"the filter: {name}": filtering(**profile) for name, profile in FILTERS.items()},
    **{
        f"a {kind}": mounting(kind, kind)
        for kind in ("binfmt_misc", "pstore", "fusectl", "resctrl", "nsfs", "9p", "an-unknown-fs")
    },
    "layers": mounting("overlay", "x", "lowerdir=/srv", "upperdir=/etc", "workdir=/w"),
    "a process's root": mounting("bind", "/proc/self/root", "rbind", "ro"),
    "a labelled disk": mounting("ext4", "LABEL=root", "ro"),
    "keyboards": bundle({"devices": [{"path": "/dev/x", "type": "c", "major": 13, "minor": 64}]}),
}


@pytest.mark.parametrize(
    ("file", "texts"),
    [
        ("compose.yaml", COMPOSE),
        ("a.container", QUADLETS),
        ("a@.service", UNITS),
        ("config.json", BUNDLES),
    ],
)
def test_none_passes(file: str, texts: dict[str, str], tmp_path: Path) -> None:
    passed = []
    for name, text in texts.items():
        (tmp_path / file).write_text(text)
        if main(["check", "--strict", str(tmp_path / file)]) != 1:
            passed.append(name)
    assert passed == []


@pytest.mark.parametrize("file", NAMED)
def test_what_the_name_of_a_unit_settles(file: str, tmp_path: Path) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(NAMED[file])
    assert main(["check", "--strict", str(tmp_path / file)]) != 0


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_in_a_file_of_its_own(name: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps(FILTERS[name]))
    (tmp_path / "compose.yaml").write_text(service("security_opt: ['seccomp=./p.json']"))
    assert main(["check", "--strict", str(tmp_path / "compose.yaml")]) == 1


SOUND = {
    "base.service": USER,
    "base.container": BOX,
    "compose.yaml": service(
        "security_opt: ['no-new-privileges=1', 'apparmor=mine', 'label=type:container_t', "
        "'writable-cgroups=0'], devices: ['/dev/dri', '/dev/ttyUSB0:/x', 'nvidia.com/gpu=0'], "
        "device_cgroup_rules: ['c 188:* rwm', 'c 10:200 rw', 'c 240:1 m'], "
        "volumes: ['n:/n', 't:/t', "
        "'/srv/x:/x', '/run/mysqld/mysqld.sock:/s', '/etc/ssl/certs:/c', '/var/lib/mysql:/m', "
        "'/etc/nginx:/n:ro', '/opt/app/data:/d', '/run/systemd/journal/dev-log:/dev/log']"
    )
    + "volumes: {n: {driver: local, driver_opts: {type: nfs, o: 'addr=h,rw', device: ':/etc'}}, "
    "t: {driver_opts: {type: tmpfs, device: tmpfs, o: size=1m}}}\n",
    "a.container": BOX
    + "Volume=%h/data/%p:/d\nVolume=/srv/%i:/s\n"
    + "Mount='type=bind,\"source=/srv/a,b\",dst=/x'\nUserNS=keep-id\n"
    "[Service]\nRestart=always\nTimeoutStartSec=900\nStandardOutput=journal\n"
    "Environment=TZ=UTC LC_ALL=C\nMemoryMax=1G\n",
    "x.volume": "[Volume]\nType=nfs\nDevice=host:/etc\nOptions=addr=h\n",
    "web.service": USER
    + "RuntimeDirectory=web\nStateDirectory=web/data web-cache\nLogsDirectory=web\n"
    "StandardOutput=append:/var/log/web/out.log\nLoadCredential=key:/etc/ssl/private/web.key\n"
    "OpenFile=/srv/web/data.db\nSupplementaryGroups=ssl-cert 29 video\nStandardError=journal\n",
    "db.service": UNIT + "OpenFile=/etc/shadow\nRuntimeDirectory=sshd\n",
    "config.json": bundle(
        {"seccomp": {"defaultAction": ERRNO, "syscalls": [{"names": ["read"], "action": ALLOW}]}},
        mounts=[
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/q", "type": "mqueue", "source": "mqueue", "options": ["nosuid"]},
            {"destination": "/c", "type": "cgroup", "source": "cgroup", "options": ["ro"]},
        ],
    ),
}


@pytest.mark.parametrize("file", SOUND)
def test_what_is_known_to_be_harmless_passes(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / file).write_text(SOUND[file])
    assert main(["check", "--strict", str(tmp_path / file)]) == 0, capsys.readouterr().out


def test_what_no_table_knows_is_not_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By default it is counted and does not fail; with --strict it does."""
    path = tmp_path / "compose.yaml"
    path.write_text(service("volumes: ['/etc/an-unknown-program.d:/x']"))
    assert main(["check", str(path)]) == 0
    said = capsys.readouterr().out
    assert "[not-judged]" in said
    assert "passed: 1 warning in 1 service" in said
    assert main(["check", "--strict", str(path)]) == 1


def test_kubernetes_asks_the_same_table(tmp_path: Path) -> None:
    volumes = "  volumes: [{name: h, hostPath: {path: /etc/an-unknown-program.d}}]\n"
    text = pod("capabilities: {drop: [ALL]}, allowPrivilegeEscalation: false", more=volumes)
    text = text.replace("image: x", "image: x\n    volumeMounts: [{name: h, mountPath: /h}]")
    (tmp_path / "pod.yaml").write_text(text)
    assert main(["check", "--strict", str(tmp_path / "pod.yaml")]) == 1
