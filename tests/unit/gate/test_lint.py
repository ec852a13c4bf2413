"""Each rule of the gate: a service as it is declared → what is found."""

from __future__ import annotations

import pytest

from capadvise.catalog import default
from capadvise.config import LANGUAGES
from capadvise.config.compose import file as compose
from capadvise.config.declared import Declared, Exposure
from capadvise.config.granted import EVERY, granted
from capadvise.config.kubernetes import file as kubernetes
from capadvise.config.systemd import file as systemd
from capadvise.gate.finding import RULES, Finding, Severity
from capadvise.gate.lint import lint
from capadvise.gate.pod_security import CONTROLS
from capadvise.gate.service import Service, circumstances_of
from capadvise.judgement.risk import remaining
from capadvise.model.caps import NAMES, Cap, CapSet, parse_set
from tests.support.usual_notes import besides_usual
from tests.support.weakening import weakened

CATALOG = default()
DOCKER = next(item.grants for item in CATALOG.baselines.runtimes if item.name == "docker")
ALL = ("ALL",)


def findings(declared: Declared, kind: str, needed: CapSet = frozenset()) -> tuple[Finding, ...]:
    consumer = LANGUAGES[kind].judged_by
    service = Service.of(declared, (("f", declared),), consumer, CATALOG, needed)
    return besides_usual(lint(service), kind)


def service(add: tuple[str, ...] = (), drop: tuple[str, ...] = ALL, **more: object) -> Declared:
    return Declared("web", 1, drop, add, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "declared", "rules"),
    [
        ("compose", service(), []),
        ("compose", service(("NET_RAW", "cap_chown", "CAP_KILL")), []),
        ("compose", service(privileged=True), ["privileged"]),
        ("compose", service(drop=(), privileged=True), ["privileged"]),
        ("compose", service(("all",)), ["add-all"]),
        ("compose", service(ALL, ()), ["add-all"]),
        ("compose", service(("SYS_ADMIN",)), ["root-equivalent"]),
        ("compose", service(("sys_module", "CAP_SYS_RAWIO")), ["root-equivalent"] * 2),
        ("compose", service(("SYS_ADM",)), ["ignored-name"]),
        ("compose", service(("CAP_ALL", "13")), ["ignored-name"] * 2),
        ("compose", service(("${CAP}",), unresolved=(("${CAP}", 5),)), ["unresolved"]),
        ("compose", service(drop=("NET_RAW", "SYS_ADM")), ["ignored-name", "no-drop-all"]),
        ("compose", service(("NET_RAW",), ("NET_RAW",)), ["add-and-drop", "no-drop-all"]),
        ("compose", service(drop=()), ["no-drop-all"]),
        ("compose", service(drop=("all",)), []),
        ("compose", service(("CHOWN",), user="1000:1000"), ["useless-add"]),
        ("compose", service(ALL, user="nginx"), ["add-all", "useless-add"]),
        ("compose", service(("CHOWN",), user="0:1000"), []),
        ("systemd", service(("CAP_NET_ADMIN",)), ["root-equivalent"]),
        ("compose", service(("CHOWN",), user="root"), []),
        ("compose", service(("CHOWN",), user="${UID}"), []),
        ("compose", service(user="1000"), []),
        ("compose", service(("CHOWN",), no_new_privileges=False), ["escalation"]),
        ("compose", service(no_new_privileges=False), []),
        ("compose", service(("CHOWN", "KILL", "cap_chown")), ["duplicate"]),
        ("compose", service(drop=("ALL", "ALL")), ["duplicate"]),
        ("kubernetes", service(("NET_BIND_SERVICE",)), []),
        ("kubernetes", service(privileged=True), ["privileged"]),
        ("kubernetes", service(("net_raw",)), ["spelling"]),
        ("kubernetes", service(drop=("all",)), ["spelling"]),
        ("kubernetes", service(("CAP_NET_RAW",)), ["ignored-name"]),
        ("kubernetes", service(("SYS_ADM",)), ["ignored-name"]),
        ("kubernetes", service(("SYS_ADMIN",), no_new_privileges=True), ["root-equivalent"]),
        ("kubernetes", service(ALL), ["add-and-drop"]),
        ("kubernetes", service(("NET_RAW",), ("ALL", "NET_RAW")), ["add-and-drop"]),
        ("kubernetes", service(drop=("NET_RAW",)), ["no-drop-all"]),
        ("kubernetes", service(("CHOWN",), user="1000"), ["useless-add"]),
        ("kubernetes", service(("CHOWN",), no_new_privileges=False), ["escalation"]),
        ("quadlet", service(("CHOWN",), user="1000"), []),
        ("quadlet", service(ALL), ["add-and-drop"]),
        ("quadlet", service(("chown",)), []),
        ("systemd", service(("CAP_CHOWN", "cap_kill", "13")), []),
        ("systemd", service(("CHOWN",)), ["ignored-name"]),
        ("systemd", service(("ALL",)), ["ignored-name"]),
        ("systemd", service(drop=()), ["no-drop-all"]),
        ("systemd", service(drop=("CAP_SYS_ADMIN",)), ["no-drop-all"]),
        ("systemd", service(("CAP_CHOWN",), user="www-data"), ["useless-add"]),
        ("systemd", service(("CAP_CHOWN",), user="dynamic", ambient=("CAP_CHOWN",)),
         ["root-equivalent"]),
        ("systemd", service(("CAP_KILL",), user="dynamic", ambient=("CAP_KILL",)), []),
        ("systemd", service(("CAP_CHOWN",), user="root", ambient=("CAP_CHOWN",)), []),
        ("systemd", service(ambient=("NET_RAW",)), ["ignored-name"]),
        ("systemd", service(("CAP_SYS_MODULE",)), ["root-equivalent"]),
        ("systemd", service(ambient=("CAP_SYS_MODULE",), user="nobody"), ["root-equivalent"]),
        ("compose", service(("CHOWN",), refused=(("CHOWN", "Not here."),)), ["rejected"]),
        ("oci", service(("CAP_CHOWN",)), []),
        ("oci", service(("CHOWN", "cap_kill")), ["ignored-name"] * 2),
        ("oci", service(("CAP_CHOWN",), user="33:33", ambient=()), ["useless-add"]),
    ],
)  # fmt: skip
def test_rules(kind: str, declared: Declared, rules: list[str]) -> None:
    assert sorted(item.rule for item in findings(declared, kind)) == sorted(rules)


def test_every_rule_of_the_table_has_a_severity_and_a_sentence() -> None:
    assert {rule.summary[-1] for rule in RULES.values()} == {"."}
    assert {rule.severity for rule in RULES.values()} == set(Severity)


def test_the_catalog_explains_exposures_by_rules_and_controls_that_there_are() -> None:
    for kind, fact in CATALOG.exposures.items():
        assert kind in set(Exposure)
        assert fact.rule in RULES
        assert fact.severity in set(Severity)
        assert fact.says.count("{}") == 1
        assert fact.control in ("", *(control for _, control, _ in CONTROLS))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_root_equivalent_is_what_the_catalog_says(name: str) -> None:
    cap = Cap.parse(name)
    declared = service((name,))
    found = [item.rule for item in findings(declared, "compose")]
    entry = CATALOG.entry(cap)
    assert entry is not None
    risk = str(remaining(entry, circumstances_of(declared, LANGUAGES["compose"].judged_by)).risk)
    by_risk = {"root": ["root-equivalent"], "high": ["high-risk"]}
    assert found == ([] if cap in DOCKER else by_risk.get(risk, ["beyond-default"]))


def test_a_root_equivalent_need_that_the_report_shows_is_only_a_warning() -> None:
    (found,) = findings(service(("SYS_ADMIN",)), "compose", parse_set(["SYS_ADMIN"]))
    assert found.severity is Severity.WARNING
    assert found.what == "it adds SYS_ADMIN, which its report shows a need for"


def test_the_remedy_for_a_name_is_the_name_that_was_meant() -> None:
    near = ("SYS_ADM", "NET_BIND_SERVICES", "CAP_NETRAW", "TO_FLY")
    found = findings(service(near), "compose")
    assert [item.remedy for item in found] == [
        "Write SYS_ADMIN.",
        "Write NET_BIND_SERVICE.",
        "Write NET_RAW.",
        "Remove it.",
    ]


def test_a_hostile_name_is_shown_escaped() -> None:
    (found,) = findings(service(("\x1b[2J\n::error::",)), "compose")
    assert "\x1b" not in found.what
    assert "\n" not in found.what


COMPOSE = """\
services:
  web:
    image: nginx
    cap_drop: [ALL]
    cap_add:
      - CHOWN
      - SYS_ADMIN   # for mounts
    privileged: true
  db:
    image: postgres
"""
POD = """\
kind: Pod
metadata: {name: web}
spec:
  containers:
    - name: app
      securityContext:
        capabilities:
          drop: [all]
          add:
            - SYS_ADM
"""


def test_findings_are_at_the_lines_where_things_are_written() -> None:
    web, db = (findings(item, "compose") for item in compose.read(COMPOSE))
    assert [(item.rule, item.line) for item in web] == [("privileged", 8), ("root-equivalent", 7)]
    (missing,) = db
    assert missing.rule == "no-drop-all"
    assert 9 <= missing.line <= 10
    (app,) = kubernetes.read(POD)
    assert [(item.rule, item.line) for item in findings(app, "kubernetes")] == [
        ("ignored-name", 10),
        ("spelling", 8),
    ]


# ------------------------------------------------------------------------------ what is granted

S = parse_set


@pytest.mark.parametrize(
    ("kind", "declared", "caps"),
    [
        ("compose", service(drop=()), DOCKER),
        ("compose", service(), S([])),
        ("compose", service(("chown",)), S(["CHOWN"])),
        ("compose", service(ALL), EVERY),
        ("compose", service(ALL, ("NET_RAW",)), EVERY - S(["NET_RAW"])),
        ("compose", service(("LEASE",), ("KILL",)), DOCKER - S(["KILL"]) | S(["LEASE"])),
        ("compose", service(("NET_RAW",), ("NET_RAW",)), DOCKER),
        ("compose", service(privileged=True), EVERY),
        ("kubernetes", service(("CHOWN", "KILL"), ("ALL", "KILL")), S(["CHOWN"])),
        ("kubernetes", service(ALL), S([])),
        ("kubernetes", service(("CAP_CHOWN",)), S([])),
        ("kubernetes", service(("NET_RAW",), ("NET_RAW",)), DOCKER - S(["NET_RAW"])),
        ("kubernetes", service(ALL, ("NET_RAW",)), EVERY - S(["NET_RAW"])),
        ("quadlet", service(("CHOWN",)), S(["CHOWN"])),
        ("systemd", service(("CAP_CHOWN", "KILL")), S(["CHOWN"])),
        ("systemd", service(drop=()), EVERY),
        ("systemd", service(drop=("CAP_CHOWN",)), EVERY - S(["CHOWN"])),
        ("oci", service(("CAP_CHOWN",)), S(["CHOWN"])),
    ],
)  # fmt: skip
def test_what_the_consumer_grants(kind: str, declared: Declared, caps: CapSet) -> None:
    assert granted(declared, LANGUAGES[kind].judged_by, CATALOG) == caps


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("compose", ["NET_RAW", "net_raw", "CAP_NET_RAW", "cap_net_raw"]),
        ("kubernetes", ["NET_RAW", "net_raw"]),
        ("quadlet", ["NET_RAW", "net_raw", "CAP_NET_RAW", "cap_net_raw"]),
        ("systemd", ["CAP_NET_RAW", "cap_net_raw", "13"]),
        ("oci", ["CAP_NET_RAW"]),
    ],
)
def test_how_consumers_spell(kind: str, taken: list[str]) -> None:
    spellings = ["NET_RAW", "net_raw", "CAP_NET_RAW", "cap_net_raw", "13", "CAP_CAP_NET_RAW", ""]
    parse = LANGUAGES[kind].judged_by.parse
    assert [name for name in spellings if parse(name) == Cap.parse("NET_RAW")] == taken
    assert {parse(name) for name in spellings if name not in taken} == {None}


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("compose", "Set no-new-privileges:true."),
        ("kubernetes", "Set allowPrivilegeEscalation: false."),
        ("quadlet", "Set NoNewPrivileges=true."),
        ("systemd", "Set NoNewPrivileges=true."),
        ("oci", "Set process.noNewPrivileges: true."),
    ],
)
def test_how_each_language_forbids_to_gain_privileges(kind: str, remedy: str) -> None:
    name = LANGUAGES[kind].judged_by.spelled(Cap.parse("CHOWN"))
    declared = service((name,), no_new_privileges=False)
    (finding,) = [one for one in findings(declared, kind) if one.rule == "escalation"]
    assert finding.remedy == remedy


NETWORK = "[Service]\nExecStart=/bin/x\nCapabilityBoundingSet=CAP_NET_ADMIN\n{}\n"


@pytest.mark.parametrize(
    ("more", "rule", "severity"),
    [
        ("", "root-equivalent", Severity.ERROR),
        ("PrivateNetwork=no", "root-equivalent", Severity.ERROR),
        ("PrivateNetwork=yes", "high-risk", Severity.WARNING),
        ("PrivateNetwork=yes\nPrivateNetwork=no", "root-equivalent", Severity.ERROR),
        (
            "PrivateNetwork=yes\nNetworkNamespacePath=/proc/1/ns/net",
            "root-equivalent",
            Severity.ERROR,
        ),
    ],
)
def test_a_unit_is_in_the_hosts_network_unless_it_says_otherwise(
    more: str, rule: str, severity: Severity
) -> None:
    """As a container with ``network_mode: host`` is, which is an error, too."""
    (declared,) = systemd.read(NETWORK.format(more), "web.service")
    (found,) = findings(declared, "systemd")
    assert (found.rule, found.severity) == (rule, severity)
    assert ("In its own network" in found.why) is (rule == "high-risk")


def test_nobody_is_advised_an_ambient_set_that_makes_root() -> None:
    add = ("CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SETUID", "CAP_NET_BIND_SERVICE")
    found = findings(service(add, user="redis"), "systemd")
    (useless,) = [each for each in found if each.rule == "useless-add"]
    assert useless.remedy == (
        "Remove SETUID, NET_ADMIN, SYS_ADMIN: in AmbientCapabilities= it makes the user root. Add "
        "NET_BIND_SERVICE to AmbientCapabilities=."
    )
    for kind in ("compose", "kubernetes", "systemd"):
        for cap in NAMES:
            name = f"CAP_{cap}" if kind == "systemd" else cap
            for each in findings(service((name,), user="1000"), kind):
                assert not weakened(each.remedy), (kind, cap)
