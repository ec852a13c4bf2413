"""The catalog holds what it promises: every file, every key, every rule reachable."""

from __future__ import annotations

import re
import shutil
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

from capadvise.catalog import COMPILED, Catalog, default
from capadvise.catalog.capabilities import EditPlace
from capadvise.catalog.sites import SiteRule
from capadvise.cli import main
from capadvise.model import strict
from capadvise.model.caps import NAMES, Cap
from capadvise.model.errors import BadInput, Exit
from tests.generate.facts import compiling
from tests.generate.facts.capabilities import entry_of
from tests.generate.facts.sites import parse_rules

CATALOG = default()
ALL = [Cap(number) for number in range(len(NAMES))]
GOOD = (CATALOG.folder / "capabilities" / "net_bind_service.yaml").read_text()


def test_every_capability_has_an_entry() -> None:
    assert [cap for cap in ALL if not _is_complete(cap)] == []


def _is_complete(cap: Cap) -> bool:
    entry = CATALOG.entry(cap)
    assert entry is not None, cap
    complete = all((entry.cap == cap, entry.references, entry.attack, entry.remediation))
    return complete and len(entry.summary) <= 60 and not entry.summary.endswith(".")


def test_the_preference_names_each_capability_once() -> None:
    assert len(set(CATALOG.preference)) == len(CATALOG.preference)


@pytest.mark.parametrize("cap", ALL, ids=str)
def test_ways_out_name_rules_that_ask_for_it_and_edits_that_can_be_read(cap: Cap) -> None:
    entry = CATALOG.entry(cap)
    assert entry is not None
    own = [rule.id for rule in CATALOG.sites.rules if not rule.caps or cap in rule.caps]
    for way in entry.remediation:
        for site in way.sites or ():
            assert any(fnmatchcase(name, site) for name in own), f"{way.need}: {site}"
    names = [use.name for use in entry.uses]
    assert all(name in names for use in entry.uses for name in use.covers)
    for edits in (*(way.edits for way in entry.remediation), *(use.edits for use in entry.uses)):
        for place, text in edits:
            assert max(map(len, text.splitlines())) <= 62, "the explanation has 80 columns"
            if place in (EditPlace.COMPOSE, EditPlace.KUBERNETES):
                assert isinstance(yaml.safe_load(text), dict)
            if place is EditPlace.SYSCTL:
                assert re.fullmatch(r"[a-z0-9_.-]+=-?[0-9]+", text)


def _example(rule: SiteRule) -> tuple[Cap, tuple[str, ...]]:
    cap = min(rule.caps) if rule.caps else Cap(21)
    frames = (*rule.at[0].split("<"), *rule.below[:1])
    return cap, tuple(frame.replace("*", "x") for frame in frames)


def test_no_rule_is_hidden_by_one_before_it() -> None:
    """A rule behind one about a mounter's credentials is for mounts of the target's own."""
    hidden = {
        rule.id: [match.id for match in matches if match]
        for rule in CATALOG.sites.rules
        if rule
        not in (
            matches := [
                CATALOG.sites.match(*_example(rule), own_mounts=own) for own in (False, True)
            ]
        )
    }
    assert hidden == {}, "rules, and those that match before them"


@pytest.mark.parametrize(
    ("cap", "site", "meaning"),
    [
        ("FOWNER", "ns_capable do_fcntl __x64_sys_fcntl", "optional"),  # restic: O_NOATIME
        ("FOWNER", "ns_capable may_open path_openat do_filp_open", "optional"),
        ("FOWNER", "ns_capable setattr_prepare ext4_setattr notify_change chmod_common", "decides"),
        ("SYS_ADMIN", "ns_capable __x64_sys_sethostname do_syscall_64", "decides"),
        # where all pipes of a user hold much, new ones are made smaller
        ("SYS_RESOURCE", "capable alloc_pipe_info create_pipe_files do_pipe2", "optional"),
        ("SYS_ADMIN", "capable alloc_pipe_info create_pipe_files do_pipe2", "optional"),
        ("SYS_ADMIN", "capable pipe_is_unprivileged_user alloc_pipe_info do_pipe2", "optional"),
        # one that is there is not made larger
        ("SYS_ADMIN", "capable pipe_is_unprivileged_user pipe_fcntl do_fcntl", "either-or"),
        ("SYS_RESOURCE", "capable pipe_is_unprivileged_user watch_queue_set_size", "either-or"),
    ],
)
def test_what_a_refusal_means_at_a_site_that_was_seen(cap: str, site: str, meaning: str) -> None:
    rule = CATALOG.sites.match(Cap.parse(cap), tuple(site.split()))
    assert rule is not None
    assert rule.meaning == meaning


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("summary:", "sumary:"), "unknown key 'sumary'"),
        (('since: "2.2"\n', ""), "key 'since' is missing"),
        (("number: 10", "number: 10\nnumber: 10"), "appears twice"),
        (("number: 10", "number: 11"), "do not agree"),
        (("risk: low", "risk: mild"), "risk 'mild'"),
        (("syscalls: [bind]", "syscalls: bind"), "must be a list of texts"),
        (("name: CAP_NET_BIND_SERVICE", "name: CAP_NET_BIND"), "not the name of a capability"),
        (("errno: [EACCES]", "errno: [EACCES"), "line"),
        (("host-network", "moon"), "'moon' in 'where' is none of host-user"),
        (("compose: 'ports", "compos: 'ports"), "unknown key 'compos'"),
    ],
)
def test_a_broken_entry_is_refused_with_file_and_key(change: tuple[str, str], said: str) -> None:
    path = Path("catalog/capabilities/net_bind_service.yaml")
    with pytest.raises(BadInput, match=said) as caught:
        entry_of(path, strict.load(path, GOOD.replace(*change)))
    assert str(path) in str(caught.value)


RULE = "- {id: a, at: [f], meaning: decides, text: t, source: measured}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RULE + RULE, "line 2: rule 'a' appears twice"),
        (RULE.replace("decides", "maybe"), "maybe"),
        (RULE.replace("decides", "either-or"), "alternatives"),
        (RULE.replace("decides", "optional"), "lost"),
        (RULE.replace("text: t", "text: t, where: x"), "unknown key 'where'"),
        (RULE.replace("text: t", "text: t, when: {arg: mode}"), "mask"),
        (RULE.replace("[f]", "f"), "list of function names"),
        ("a: 1", "list of rules"),
    ],
)
def test_a_broken_rule_is_refused_with_file_and_line(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parse_rules(Path("sites.yaml"), text)


RULE_IN_LINES = """\
- id: a
  at: [f]
  caps: [CAP_KILL]
  meaning: decides
  text: t
  source: measured
"""


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("id:", "idd:"), 1),
        (("at: [f]", "at: f"), 2),
        (("CAP_KILL", "CAP_GOD"), 3),
        (("decides", "maybe"), 4),
        (("decides", "either-or"), 4),
        (("text: t", "texts: t"), 5),
        (("text: t", "text:"), 5),
        (("measured", "measured\n  refused: EGOD"), 7),
        (("measured", "measured\n  scope: moon"), 7),
        (("measured", "measured\n  answers: [EGOD]"), 7),
        (("measured", "measured\n  when:\n    arg: a\n    is: 3"), 9),
    ],
)
def test_an_error_names_the_line_of_the_key(change: tuple[str, str], line: int) -> None:
    with pytest.raises(BadInput, match=rf"^sites\.yaml: line {line}: "):
        parse_rules(Path("sites.yaml"), RULE_IN_LINES.replace(*change))


def test_the_compiled_file_is_made_from_its_sources() -> None:
    path = CATALOG.folder / COMPILED
    same = path.read_text() == compiling.dump(compiling.compiled(CATALOG.folder))
    assert same, "run: python -m tests.generate"


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("compiled.json", ('"sites": [', '"sites": '), "compiled.json: "),
        ("compiled.json", ('"decides"', '"decide"'), "'decide' is not a valid Meaning"),
        ("compiled.json", ('"preference"', '"preferences"'), "'preference'"),
        ("compiled.json", ('"host"', '"hosts"'), "'host'"),
        ("askers.tsv", ("\tinitial\t", "\tfinal\t"), "'final' is not a valid NamespaceScope"),
        ("proven/nginx.yaml", ("CAP_CHOWN", "CAP_CHOW"), "'CAP_CHOW' is not the name"),
        ("proven/nginx.yaml", ("variants:", "variant:"), "'variants'"),
        ("syscalls.tsv", None, "syscalls.tsv: No such file"),
    ],
)
def test_a_damaged_catalog_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: str,
    change: tuple[str, str] | None,
    said: str,
) -> None:
    folder = tmp_path / "catalog"
    shutil.copytree(CATALOG.folder, folder)
    monkeypatch.setattr("capadvise.cli.commands.catalog.default", lambda: Catalog(folder))
    assert main(["catalog", "check"]) == Exit.OK
    path = folder / file
    text = path.read_text()
    path.unlink()
    if change is not None:
        assert change[0] in text
        path.write_text(text.replace(*change))
    capsys.readouterr()
    assert main(["catalog", "check"]) == Exit.USAGE
    assert said in capsys.readouterr().err
