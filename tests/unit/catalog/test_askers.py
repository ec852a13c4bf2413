"""The table of who asks in stock kernels: complete, readable, and what rules leave to it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from capadvise.catalog import Meaning, default
from capadvise.catalog.askers import NamespaceScope
from capadvise.catalog.sites import among, rule_of_asker
from capadvise.model.caps import Cap
from capadvise.model.errors import BadInput
from capadvise.report.explain import rules_of, site_text
from tests.generate.facts.askers import COLUMNS, parse_askers
from tests.generate.facts.sites import KERNEL_ERRORS

CATALOG = default()
ROW = "f\tCAP_KILL\t6.12\tm\tdrivers/m.c\tinitial\tdecides\tEPERM\t-\tdoing it\t-"


def test_every_asker_is_judged() -> None:
    """By a site rule that names it, or by its own row."""
    named = defaultdict(list)
    for rule in CATALOG.sites.rules:
        for pattern in rule.at:
            named[pattern.partition("<")[0]].append(rule.caps)
    del named["*"]
    patterns = [name for name in named if "*" in name]
    unjudged = [
        (asker.function, str(asker.cap))
        for asker in CATALOG.askers
        if not asker.meaning
        and not any(
            caps is None or asker.cap in (None, *caps)
            for name in (asker.function, *patterns)
            if among(asker.function, (name,))
            for caps in named.get(name, ())
        )
    ]
    assert not unjudged


def test_every_asker_is_explained() -> None:
    functions = sorted({asker.function for asker in CATALOG.askers})
    silent = [name for name in functions if not rules_of(name, CATALOG)]
    assert not silent
    assert len(functions) > 1000


def test_a_row_says_as_much_as_a_rule() -> None:
    for asker in CATALOG.askers:
        if asker.meaning:
            rule = rule_of_asker(asker)
            assert rule.text, asker.function
            assert bool(rule.lost) == (rule.meaning is Meaning.OPTIONAL), asker.function
            assert bool(rule.alternatives) == (rule.meaning is Meaning.EITHER_OR), asker.function
            assert len(rule.text) <= 100, asker.function


@pytest.mark.parametrize(
    ("function", "cap", "meaning", "refused", "scope"),
    [
        ("megasas_mgmt_open", "SYS_ADMIN", "decides", "EACCES", NamespaceScope.INITIAL),
        ("mtu_store", "NET_ADMIN", "decides", None, NamespaceScope.OWNER),
        ("tcp_set_ulp", "NET_ADMIN", "optional", "ENOENT", NamespaceScope.INITIAL),
        ("netlink_setsockopt", "NET_ADMIN", "decides", "EPERM", NamespaceScope.OWNER),
        ("__x64_sys_finit_module", "SYS_MODULE", "decides", None, NamespaceScope.INITIAL),
        ("__set_oom_adj", "SYS_RESOURCE", "optional", "EACCES", NamespaceScope.INITIAL),
        ("query_memregion_info", "PERFMON", "optional", None, NamespaceScope.INITIAL),
        ("kfd_ioctl", "CHECKPOINT_RESTORE", "either-or", "EACCES", NamespaceScope.INITIAL),
        ("ublk_open", "SYS_ADMIN", "advisory", None, NamespaceScope.INITIAL),
        # into these the function that a rule names is inlined
        ("priv_restricted_transition", "MAC_OVERRIDE", "optional", None, NamespaceScope.INITIAL),
        ("ima_match_policy", "SETUID", "optional", None, NamespaceScope.INITIAL),
        ("build_mount_kattr", "SYS_ADMIN", "decides", None, NamespaceScope.OWNER),
    ],
)
def test_what_is_known_of_an_asker(
    function: str, cap: str, meaning: str, refused: str | None, scope: NamespaceScope
) -> None:
    rule = CATALOG.sites.match(Cap.parse(cap), ("capable", function, "vfs_ioctl"))
    assert rule is not None
    assert (rule.meaning, rule.refused) == (meaning, refused)
    assert CATALOG.sites.scope(Cap.parse(cap), ("capable", function)) is scope
    assert CATALOG.sites.scope(Cap.parse(cap), ("capable", "nobody_knows")) is None


def test_a_wrapper_of_the_newest_kernel_is_no_asker() -> None:
    """Linux 7.3 asks for XFS through capable_noaudit(), at every chmod."""
    chain = ("security_capable", "capable_noaudit", "xfs_setattr_nonsize", "notify_change")
    rule = CATALOG.sites.match(Cap.parse("FOWNER"), chain)
    assert rule is not None
    assert rule.id == "xfs-quota-force"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("__set_oom_adj", "the call fails with EACCES, and programs usually go on"),
        ("query_memregion_info", "Refused, the call succeeds with less"),
        ("megasas_mgmt_open", "Refused, the call fails with EACCES"),
        ("megasas_mgmt_open", "It counts only in the host's user namespace"),
        ("mtu_store", "It counts in the user namespace that owns the object"),
        ("sd_ioctl", "Uncertain: the kernel checks it before every command"),
    ],
)
def test_an_explanation_tells_whether_the_call_fails(function: str, said: str) -> None:
    text = " ".join(site_text(function, rules_of(function, CATALOG), CATALOG)).split()
    assert said in " ".join(text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("\tEPERM", ""), "line 1: 10 columns instead of 11"),
        (("CAP_KILL", "CAP_GOD"), "line 1: .*CAP_GOD"),
        (("initial", "everywhere"), "line 1: 'everywhere' is not a valid NamespaceScope"),
        ((ROW, f"{ROW}\n{ROW}"), "line 2: f with CAP_KILL appears twice"),
    ],
)
def test_a_broken_row_is_refused_with_file_and_line(change: tuple[str, str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parse_askers(Path("askers.tsv"), ROW.replace(*change))


def test_errors_are_names_of_errors() -> None:
    import errno

    known = {*errno.errorcode.values(), *KERNEL_ERRORS, ""}
    assert {asker.refused for asker in CATALOG.askers} <= known
    assert len(COLUMNS) == len(ROW.split("\t"))


@pytest.mark.parametrize(
    ("site", "cap", "rule"),
    [
        ("__arm64_sys_reboot", "SYS_BOOT", "reboot"),
        ("__arm64_sys_delete_module", "SYS_MODULE", "module-load"),
        ("__arm64_sys_prlimit64", "SYS_RESOURCE", "rlimit-other"),
        ("__arm64_sys_io_uring_register", "SYS_ADMIN", "asker:__arm64_sys_io_uring_register"),
    ],
)
def test_what_is_inlined_on_arm64_is_judged_as_elsewhere(site: str, cap: str, rule: str) -> None:
    found = CATALOG.sites.match(Cap.parse(cap), ("ns_capable", site))
    assert found is not None
    assert found.id == rule


@pytest.mark.parametrize(
    ("site", "cap", "scope"),
    [
        ("__arm64_sys_sethostname", "SYS_ADMIN", NamespaceScope.OWNER),  # as __x64_sys_sethostname
        ("__arm64_sys_swapon", "SYS_ADMIN", NamespaceScope.INITIAL),  # as __do_sys_swapon
        ("__arm64_sys_pciconfig_read", "SYS_ADMIN", NamespaceScope.INITIAL),
    ],
)
def test_arm64_asks_about_the_same_user_namespace(
    site: str, cap: str, scope: NamespaceScope
) -> None:
    assert CATALOG.sites.scope(Cap.parse(cap), ("ns_capable", site)) is scope
