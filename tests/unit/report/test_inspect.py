"""``inspect``: the page, the JSON, the table, and what a target may be called."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from capadvise.catalog import default
from capadvise.cli import main
from capadvise.model.caps import Sets, parse_set
from capadvise.model.image import ImageInspection, Riser
from capadvise.model.posture import (
    Cgroup,
    Exposed,
    Inspection,
    Mac,
    Posture,
    Root,
    Seccomp,
    Sharing,
    User,
)
from capadvise.report.inspection import (
    dump_image,
    dump_inspection,
    image_text,
    inspection_text,
    table,
)
from tests.support.golden import assert_golden

CATALOG = default()
DOCKER = next(r.grants for r in CATALOG.baselines.runtimes if r.name == "docker")
HOSTILE = "web\x1b[2J\n"
WEB = Inspection(
    pid=812,
    program=HOSTILE,
    argv=("nginx", "-g", "daemon off;"),
    sets=Sets(parse_set([]), parse_set(["NET_BIND_SERVICE"]), parse_set([]), DOCKER, parse_set([])),
    container="docker container web",
    posture=Posture(
        namespaces={
            **dict.fromkeys(("user", "net", "time"), Sharing.HOST),
            **dict.fromkeys(("mnt", "pid", "ipc", "uts"), Sharing.OWN),
            "cgroup": Sharing.UNKNOWN,
        },
        no_new_privs=False,
        seccomp=Seccomp("filter", 2),
        mac=Mac("apparmor", "docker-default", "enforce"),
        cgroup=Cgroup("v1", "/docker/1\x07", writable=True, limits={"pids.max": "20"}),
        root=Root(
            "overlay",
            read_only=True,
            layers=3,
            host=False,
            exposed=(
                Exposed("engine-socket", "/var/run/docker.sock", True, "/run/docker.sock"),
                Exposed("host-folder", "/etc\x1b]0;x\x07", False, "/etc"),
            ),
        ),
        user=User(0, 0, (0, 33), host_uid=0, rootless=False),
    ),
    closed=(
        ("mount", parse_set(["SYS_ADMIN"])),
        ("umount2", parse_set(["SYS_ADMIN"])),
        ("bpf", parse_set(["BPF", "SYS_ADMIN"])),
    ),
    unread=("the securebits: the kernel shows them only to the process itself",),
)


def test_the_page_for_people() -> None:
    text = "\n".join(inspection_text(WEB, CATALOG)) + "\n"
    assert_golden("inspect.txt", text)
    assert all(len(line) <= 80 for line in text.splitlines())


def test_in_a_user_namespace_of_its_own_what_it_shares_is_out_of_reach() -> None:
    own = {**WEB.posture.namespaces, "user": Sharing.OWN}
    user = User(0, 0, (), host_uid=1000, rootless=True)
    posture = replace(WEB.posture, namespaces=own, user=user)
    text = " ".join(" ".join(inspection_text(replace(WEB, posture=posture), CATALOG)).split())
    assert "uid 0, gid 0; outside of its user namespace it is uid 1000; rootless" in text
    assert "shared with the host: network and clock offsets. Its capabilities do not" in text


def test_json_holds_all_of_it() -> None:
    found = json.loads(json.dumps(dump_inspection(WEB)))
    assert found["capabilities"]["permitted"] == ["CAP_NET_BIND_SERVICE"]
    assert len(found["capabilities"]["of_setuid_root"]) == 14
    assert found["posture"]["root"]["exposed"][0]["kind"] == "engine-socket"
    assert found["closed"][2] == {"syscall": "bpf", "opens": ["CAP_SYS_ADMIN", "CAP_BPF"]}


@pytest.mark.parametrize(
    ("changes", "gained"),
    [
        ({}, DOCKER),
        ({"no_new_privs": True}, parse_set([])),
        ({"securebits": ("NOROOT",)}, parse_set([])),
    ],
)
def test_what_a_set_user_id_program_would_get(
    changes: dict[str, object], gained: frozenset[object]
) -> None:
    assert replace(WEB, posture=replace(WEB.posture, **changes)).of_setuid_root == gained  # type: ignore[arg-type]


def test_one_line_each() -> None:
    unseen = replace(WEB, program="x", posture=Posture())
    served = replace(WEB.posture, cgroup=Cgroup("v2", "/system.slice/web.service/x", writable=None))
    assert list(table([replace(WEB, posture=served), unseen], CATALOG)) == [
        "    PID   USER PROGRAM          SECCOMP  OWN NAMESPACES           UNIT             "
        "CAPABILITIES",
        "    812      0 web\\x1b[2J\\n     filter   mnt,pid,ipc,uts          web              "
        "NET_BIND_SERVICE; 13 more by a set-user-ID program",
        "    812      ? x                ?        ?                        -                "
        "NET_BIND_SERVICE; 13 more by a set-user-ID program",
    ]


def test_ourselves(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--json", "self", str(os.getpid())]) == 0
    one, two = json.loads(capsys.readouterr().out)
    assert one == two
    assert one["pid"] == os.getpid()
    assert one["posture"]["namespaces"]["pid"] in ("own", "host")


IMAGE = ImageInspection(
    name="web:1\x1b[2J",
    engine="docker",
    user="1000:1000",
    argv=("nginx", "-g", "daemon off;"),
    ports=("80/tcp",),
    volumes=("/data\n",),
    healthcheck=("CMD-SHELL", "curl -f localhost"),
    layers=2,
    risers=(
        Riser("/bin/su\x07", 1, set_uid=0),
        Riser("/usr/bin/wall", 1, set_gid=5),
        Riser("/bin/ping", 2, caps=parse_set(["NET_RAW", "NET_ADMIN"])),
    ),
    unread=("layer 2: zstd is not known",),
)


def test_an_image() -> None:
    assert list(image_text(IMAGE)) == [
        "web:1\\x1b[2J, image of docker, 2 layers",
        "",
        "User",
        "  1000:1000: it does not start with the runtime's set, but a program that grants",
        "  privileges can give it",
        "Command",
        "  nginx -g 'daemon off;'",
        "Ports",
        "  80/tcp",
        "Volumes",
        "  /data\\n",
        "Healthcheck",
        "  CMD-SHELL 'curl -f localhost'",
        "Programs that grant privileges",
        "  - /bin/su\\x07 (layer 1): runs as uid 0",
        "  - /usr/bin/wall (layer 1): runs with gid 5",
        "  - /bin/ping (layer 2): holds NET_ADMIN and NET_RAW",
        "  no_new_privs (no-new-privileges) disables all of them.",
        "Not readable",
        "  - layer 2: zstd is not known",
    ]
    plain = list(image_text(replace(IMAGE, user="", risers=(), unread=())))
    assert "  not set: it runs as root, with the runtime's set" in plain
    assert plain[-1] == "  none: no set-user-ID programs, no file capabilities"
    assert json.loads(json.dumps(dump_image(IMAGE)))["risers"][2]["caps"] == [
        "CAP_NET_ADMIN",
        "CAP_NET_RAW",
    ]


@pytest.mark.parametrize(
    "target", ["0", "-1", "4194305", "x", "container:", "²", "image", "9" * 30]
)
def test_what_is_no_process(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--", target]) == 2
    assert "process" in capsys.readouterr().err
