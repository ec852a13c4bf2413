"""Reading the files of others: what they declare, and what is refused with its line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from capadvise.config.compose import file as compose
from capadvise.config.declared import Declared
from capadvise.config.kubernetes import file as kubernetes
from capadvise.config.oci import file as oci
from capadvise.config.quadlet import file as quadlet
from capadvise.config.run import flags
from capadvise.config.systemd import file as systemd
from capadvise.model.caps import NAMES
from capadvise.model.errors import BadInput
from tests.support.cost import at_most, is_linear

COMPOSE = """\
x-common: &common
  cap_drop: [ALL]
  user: "33:33"
services:
  web:
    <<: *common
    image: nginx
    cap_add:
      - NET_BIND_SERVICE # why
      - ${MORE}
    security_opt: ["no-new-privileges:true"]
  old:
    <<: [*common, {user: root, privileged: yes}]
    user: 0
  none:
"""
MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: passed-by}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      securityContext: {runAsUser: 33, runAsGroup: 34}
      initContainers:
        - name: init
          securityContext: {privileged: true}
      containers:
        - name: app
          securityContext:
            runAsUser: 0
            allowPrivilegeEscalation: false
            capabilities:
              drop: [ALL]
              add:
                - CHOWN
---
apiVersion: v1
kind: List
items:
  - kind: CronJob
    metadata: {generateName: often-}
    spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: c}]}}}}}
  - kind: Pod
    metadata: {name: p}
    spec: {ephemeralContainers: [{name: debug, securityContext: {capabilities: null}}]}
"""


def test_compose() -> None:
    assert compose.read(COMPOSE) == (
        Declared(
            "web",
            5,
            image="nginx",
            drop=("ALL",),
            add=("NET_BIND_SERVICE", "${MORE}"),
            user="33:33",
            no_new_privileges=True,
            lines=(
                *(("user", 3), ("no_new_privileges", 11)),
                *(("ALL", 2), ("NET_BIND_SERVICE", 9), ("${MORE}", 10)),
            ),
            unresolved=(("${MORE}", 10),),
        ),
        Declared(
            "old",
            12,
            drop=("ALL",),
            privileged=True,
            user="0",
            lines=(("privileged", 13), ("user", 14), ("ALL", 2)),
        ),
        Declared("none", 15),
    )


def test_the_tags_of_compose() -> None:
    text = "services:\n  a:\n    cap_add: !reset []\n    cap_drop: !override [ALL]\n"
    assert compose.read(text) == (Declared("a", 2, drop=("ALL",), lines=(("ALL", 4),)),)


@pytest.mark.parametrize(
    ("pod", "container", "user"),
    [
        ("runAsNonRoot: true", "", "nonroot"),
        ("runAsNonRoot: true", "runAsNonRoot: false", None),
        ("", "runAsNonRoot: true", "nonroot"),
        ("runAsNonRoot: true", "runAsUser: 5", "5"),
        ("runAsUser: 5", "runAsUser: null", "5"),
    ],
)
def test_a_container_that_may_not_be_roots(pod: str, container: str, user: str | None) -> None:
    (found,) = kubernetes.read(
        f"kind: Pod\nspec:\n  securityContext: {{{pod}}}\n"
        f"  containers:\n  - securityContext: {{{container}}}\n"
    )
    assert found.user == user


def test_kubernetes() -> None:
    assert kubernetes.read(MANIFEST) == (
        Declared(
            "Deployment/web/app",
            16,
            drop=("ALL",),
            add=("CHOWN",),
            user="0:34",
            no_new_privileges=True,
            lines=(("user", 18), ("no_new_privileges", 19), ("ALL", 21), ("CHOWN", 23)),
        ),
        Declared(
            "Deployment/web/init",
            13,
            privileged=True,
            user="33:34",
            lines=(("privileged", 14), ("user", 11)),
        ),
        Declared("CronJob/often-/c", 30),
        Declared("Pod/p/debug", 33),
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "kind: Rollout\nmetadata: {name: web}\n"
            "spec: {template: {spec: {containers: [{name: a}]}}}\n",
            (Declared("Rollout/web/a", 3),),
        ),
        ("kind: Service\nspec: {ports: []}\n", ()),
        ("kind: Widget\nspec: {template: text}\n", ()),
        ("kind: Widget\nspec: {template: {spec: {containers: null}}}\n", ()),
        ("kind: Widget\nspec: 5\n", ()),
    ],
)
def test_kinds_that_are_not_known_are_judged_by_their_template(
    text: str, found: tuple[Declared, ...]
) -> None:
    assert kubernetes.read(text) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services: [", "line 2: "),
        ("services:\n  a: b: c\n", "line 2: "),
        ("services:\n  a: \x01\n", "line 2: control characters"),
        ("services:\n  a: 5\n", "line 2: service 'a' must be keys and values"),
        ("services:\n  a:\n    cap_add: CHOWN\n", "line 3: cap_add must be a list"),
        ("services:\n  a:\n    cap_add: [{}]\n", "line 3: an item of cap_add must be a text"),
        ("services:\n  a:\n    privileged: 7\n", "line 3: privileged must be true or false"),
        ("services:\n  a:\n    user: x\n    user: y\n", "line 4: key 'user' appears twice"),
        ("services:\n  ? [a]\n  : b\n", "line 2: a key of services must be a text"),
        ("version: 3\n", "line 1: not a compose file"),
        ("", "line 1: not a compose file"),
        ("services: " + "[" * 5000, "line "),
        ("services: [" + "a," * 600_000, "values are too many"),
        ("# " + "x" * 5_000_000, "characters are too many"),
        ("services: *no", "line 1: the alias 'no' has no anchor"),
    ],
)
def test_what_is_no_compose_file_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        compose.read(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\n", "line 1: not a Kubernetes object: it has no kind"),
        ("", "line 1: not a Kubernetes manifest"),
        ("kind: Pod\nspec:\n  containers: {}\n", "line 3: containers must be a list"),
        ("kind: Pod\nspec: {containers: [{securityContext: 1}]}", "line 2: securityContext must"),
        (
            'kind: Pod\nspec: {containers: [{securityContext: {privileged: "true"}}]}',
            "line 2: privileged must be true or false",
        ),
        ("kind: List\nitems:\n  - kind: List\n    items: []\n", "line 3: an item of a list must"),
    ],
)
def test_what_is_no_manifest_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        kubernetes.read(text)
    assert said in str(caught.value)


def _merges(levels: int) -> str:
    """Each level merges the one before ten times: 10 to the power of levels, if one were naive."""
    lines = ["x0: &x0 {a: 1}"]
    lines += [
        f"x{level}: &x{level} {{<<: [{', '.join([f'*x{level - 1}'] * 10)}], k{level}: 1}}"
        for level in range(1, levels)
    ]
    return "\n".join(lines) + f"\nservices:\n  a:\n    <<: *x{levels - 1}\n"


def _repeated(anchor: str, use: str, times: int) -> str:
    services = "".join(f"  s{number}: {{{use}}}\n" for number in range(times))
    return f"x: &x {anchor}\nservices:\n{services}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (_merges(60), "its aliases expand to too much"),
        ("x: &x\n  <<: *x\nservices:\n  a: *x\n", "the alias 'x' has no anchor before it"),
        (_repeated("[" + "CHOWN," * 2000 + "]", "cap_add: *x", 600), "expand to too much"),
        (
            _repeated("{" + "".join(f"k{n}: 1," for n in range(5000)) + "}", "<<: *x", 250),
            "expand to too much",
        ),
    ],
    ids=["merges of merges", "merges itself", "one list, many times", "one mapping, many times"],
)
def test_a_bomb_of_aliases_is_refused_before_it_goes_off(text: str, said: str) -> None:
    with at_most(500_000), pytest.raises(BadInput, match=said):
        compose.read(text)


@pytest.mark.parametrize(
    ("read", "before", "line"),
    [
        (quadlet.read, "[Container]\n", "AddCapability=x\n"),
        (systemd.read, "[Service]\n", "CapabilityBoundingSet=a b\nCapabilityBoundingSet=~a\n"),
        (
            compose.read,
            "services:\n",
            "  s{}:\n    image: a\n    cap_drop: [ALL]\n    cap_add:\n      - CHOWN # why\n",
        ),
    ],
    ids=["quadlet", "systemd", "compose"],
)
def test_a_file_of_four_times_the_length_takes_about_four_times_as_long(
    read: Callable[[str], object], before: str, line: str
) -> None:
    def work(lines: int) -> None:
        read(before + "".join(line.format(number) for number in range(lines)))

    assert is_linear(work, 250 if read is compose.read else 2000)


def test_flags_of_docker_run() -> None:
    words = (
        "-d --name web -u33 --cap-drop ALL --cap-add=CHOWN,net_raw -it -v /a:/b "
        "--security-opt no-new-privileges:true image --cap-add SYS_ADMIN"
    )
    assert flags.declared(words.split(), "docker", 6) == Declared(
        "web",
        6,
        image="image",
        drop=("ALL",),
        add=("CHOWN", "net_raw"),
        user="33",
        no_new_privileges=True,
    )
    words = "--privileged --user root:0 image docker run x"
    assert flags.declared(words.split(), "docker", 9) == Declared(
        "docker", 9, image="image", privileged=True, user="root:0"
    )


def test_quadlet() -> None:
    text = (
        "# why\n[Unit]\nDescription=x\n\n[Container]\nContainerName=web\nAddCapability=MKNOD\n"
        "AddCapability=\nAddCapability=CAP_CHOWN \\\n# between\n  CAP_KILL,CAP_LEASE\n"
        "DropCapability=all\n"
        'User=33\nPodmanArgs=--privileged "--cap-add=NET_RAW"\n'
        "NoNewPrivileges=no\n"
    )
    assert quadlet.read(text) == (
        Declared(
            "web",
            5,
            drop=("all",),
            add=("CAP_CHOWN", "CAP_KILL", "CAP_LEASE", "NET_RAW"),
            privileged=True,
            user="33",
            no_new_privileges=False,
            lines=(("user", 13), ("all", 12), ("CAP_CHOWN", 9), ("CAP_KILL", 9), ("CAP_LEASE", 9)),
        ),
    )


@pytest.mark.parametrize(
    ("assignments", "drop", "add"),
    [
        ([], [], []),
        (["CAP_KILL"], ["ALL"], ["CAP_KILL"]),
        (["CAP_KILL", "CAP_LEASE"], ["ALL"], ["CAP_KILL", "CAP_LEASE"]),
        (["CAP_KILL", "", "CAP_LEASE"], ["ALL"], ["CAP_LEASE"]),
        (["CAP_KILL", ""], ["ALL"], []),
        (["CAP_KILL", "~"], [], []),
        (["~CAP_KILL CAP_LEASE"], ["CAP_KILL", "CAP_LEASE"], []),
        (["~CAP_KILL CAP_LEASE", "CAP_KILL"], ["CAP_LEASE"], []),
        (["CAP_KILL CAP_LEASE", "~CAP_KILL"], ["ALL"], ["CAP_LEASE"]),
        (["~CAP_KILL", "~CAP_LEASE"], ["CAP_KILL", "CAP_LEASE"], []),
        (["\nEnvironment=A=x\\\\", "CAP_KILL"], ["ALL"], ["CAP_KILL"]),  # no line that goes on
    ],
)
def test_systemd_adds_up(assignments: list[str], drop: list[str], add: list[str]) -> None:
    """tests/engines holds the same against systemd itself."""
    lines = "".join(f"CapabilityBoundingSet={value}\n" for value in assignments)
    (declared,) = systemd.read(f"[Service]\n{lines}")
    assert (list(declared.drop), list(declared.add)) == (drop, add)


@pytest.mark.parametrize(
    ("assignments", "ambient"),
    [
        (["CAP_KILL", "~CAP_KILL"], []),
        (["CAP_KILL CAP_LEASE", "~CAP_KILL"], ["CAP_LEASE"]),
        (["CAP_KILL", "", "CAP_LEASE"], ["CAP_LEASE"]),
        (["~CAP_KILL"], [f"CAP_{name}" for name in NAMES if name != "KILL"]),
        (["CAP_KILL CAP_FLY"], ["CAP_KILL", "CAP_FLY"]),
    ],
)
def test_ambient_capabilities_are_added_up_too(assignments: list[str], ambient: list[str]) -> None:
    lines = "".join(f"AmbientCapabilities={value}\n" for value in assignments)
    (declared,) = systemd.read(f"[Service]\n{lines}")
    assert list(declared.ambient or ()) == ambient


def test_systemd() -> None:
    text = (
        "[Unit]\n[Service]\r\nUser=www-data\n; x\nAmbientCapabilities=CAP_KILL\nNoNewPrivileges=1\n"
        "CapabilityBoundingSet=CAP_KILL\n"
    )
    assert systemd.read(text) == (
        Declared(
            "service",
            2,
            drop=("ALL",),
            add=("CAP_KILL",),
            ambient=("CAP_KILL",),
            user="www-data",
            no_new_privileges=True,
            lines=(("user", 3), ("CAP_KILL", 7)),
        ),
    )


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (systemd.read, "[Unit]\nA=b\n", "line 1: it has no section [Service]"),
        (systemd.read, "[Service]\nUser\n", "line 2: neither a section nor KEY=VALUE"),
        (systemd.read, "A=b\n", "line 1: neither a section nor KEY=VALUE"),
        (systemd.read, "[Service\n", "line 1: a section must be written as [Name]"),
        (systemd.read, "[Service]\nNoNewPrivileges=x\n", "line 2: NoNewPrivileges= must be"),
        (quadlet.read, "[Container]\nAddCapability='\n", "line 2: an unclosed quote"),
        (oci.read, "{\n{", "line 2: "),
        (oci.read, "[" * 100_000, "line 1: "),
        (oci.read, "{}", "line 1: not a bundle's config.json"),
        (oci.read, '{"process": {"capabilities": {"bounding": "x"}}}', "must be a list of names"),
        (oci.read, '{"process": {"user": {"uid": "0"}}}', "uid and gid must be numbers"),
    ],
)
def test_what_is_no_such_file_is_refused(
    read: Callable[[str], object], text: str, said: str
) -> None:
    with pytest.raises(BadInput) as caught:
        read(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
