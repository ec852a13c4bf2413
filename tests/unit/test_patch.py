"""Patches of the user's own files: what must change does, and nothing else."""

from __future__ import annotations

import json
import re
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capadvise.caps import NAMES
from capadvise.errors import BadInput, CannotPatch, CapadviseError
from capadvise.formats import FORMATS
from capadvise.formats.edit import PATCHES
from capadvise.formats.edit.effect import effective
from capadvise.formats.edit.patched import Patched
from capadvise.formats.files import Change
from capadvise.formats.snippet import Snippet
from tests.support.golden import FOLDER, assert_golden
from tests.support.patching import CASES, USUAL, Case, patch, snippet

GOLDEN = FOLDER / "patch"
THREE = ("cap_add", "cap_drop", "privileged")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_only_the_lines_that_must_change_do(case: Case) -> None:
    patched = case.patched()
    diff = Change(Path(case.file), case.text.encode(), patched).diff()
    notes = "".join(f"# {note}\n" for note in patched.notes)
    assert_golden(f"{case.name}.diff", diff + notes, GOLDEN)


def test_a_second_patch_changes_nothing() -> None:
    for case in CASES:
        text = case.patched().text
        assert patch(case.language, text, case.service, case.caps).text == text, case.name


def test_no_golden_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {case.name for case in CASES}


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.file.endswith(".json")], ids=lambda case: case.name
)
def test_json_stays_json(case: Case) -> None:
    json.loads(case.patched().text)


def load(text: str) -> Any:
    return list(yaml.load_all(text, yaml.CSafeLoader))


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.language == "kubernetes"],
    ids=lambda case: case.name,
)
def test_in_a_manifest_only_one_security_context_changes(case: Case) -> None:
    old, new = load(case.text), load(case.patched().text)
    changed = [
        (before, after)
        for before, after in zip(containers(old), containers(new), strict=True)
        if before != after
    ]
    assert len(changed) == 1
    ((before, after),) = changed
    context = after.pop("securityContext")
    was = before.pop("securityContext", None) or {}
    assert before == after
    had = (was.get("capabilities") or {}).get("add")
    want = {"drop": ["ALL"]} | ({"add": set(case.caps)} if case.caps or had else {})
    has = context.pop("capabilities")
    assert has | ({"add": set(has["add"])} if "add" in has else {}) == want
    assert not context.pop("privileged", False)
    was.pop("privileged", None)
    was.pop("capabilities", None)
    assert context == was
    assert old == new  # now that what was compared is taken out


def containers(node: Any) -> list[dict[str, Any]]:
    """Every container, wherever it is; aliases are made values of their own."""
    if isinstance(node, list):
        return [found for item in node for found in containers(item)]
    if not isinstance(node, dict):
        return []
    found = []
    for key, value in node.items():
        if key in ("containers", "initContainers", "ephemeralContainers"):
            value[:] = [json.loads(json.dumps(item)) for item in value]
            found += value
        else:
            found += containers(value)
    return found


# ------------------------------------------------------------------------------ any compose file

WORDS = st.text("abc-_ #:'\"\t\n{}[]*&!|>%@`é😀", max_size=12)
CAPS = st.sampled_from([*NAMES, "ALL", "cap_chown", "CAP_NET_RAW", "${X}", "net_admin"])
SERVICE = st.fixed_dictionaries(
    {"image": st.just("x")},
    optional={
        "cap_add": st.lists(CAPS, max_size=4),
        "cap_drop": st.lists(CAPS, max_size=3),
        "privileged": st.booleans(),
        "command": st.lists(WORDS, max_size=3),
        "labels": st.dictionaries(WORDS.filter(bool), WORDS, max_size=3),
        "hostname": WORDS,
    },
)
SERVICES = st.dictionaries(
    st.text("abcdefgh-_0123456789", min_size=1, max_size=8), SERVICE, min_size=1, max_size=4
)
SETS = st.lists(st.sampled_from(NAMES), unique=True, max_size=5).map(tuple)


@st.composite
def files(draw: st.DrawFn) -> tuple[str, str]:
    """A compose file in one of the ways that YAML libraries write them, and one of its services;
    the same objects in two services make anchors and aliases."""
    services: dict[str, Any] = draw(SERVICES)
    name = draw(st.sampled_from(sorted(services)))
    if draw(st.booleans()) and (other := draw(st.sampled_from(sorted(services)))) != name:
        for key in ("cap_add", "cap_drop"):
            if key in services[name]:
                services[other][key] = services[name][key]
    text = yaml.dump(
        {"services": services},
        indent=draw(st.sampled_from([2, 4])),
        default_flow_style=draw(st.sampled_from([None, True, False])),
        width=draw(st.sampled_from([20, 80])),
        allow_unicode=draw(st.booleans()),
        sort_keys=False,
        line_break=draw(st.sampled_from(["\n", "\r\n"])),
        explicit_end=draw(st.booleans()),
    )
    return (text.rstrip("\r\n") if draw(st.booleans()) else text), name


@settings(max_examples=50, deadline=None)
@given(files(), SETS)
def test_in_any_compose_file_three_keys_of_one_service_change(
    file: tuple[str, str], caps: tuple[str, ...]
) -> None:
    text, name = file
    patched = patch("compose", text, name, caps).text
    (old,), (new,) = load(text), load(patched)
    service = new["services"][name]
    assert service["cap_drop"] == ["ALL"]
    added = [item.upper().removeprefix("CAP_") for item in service.get("cap_add", [])]
    assert sorted(added) == sorted(caps)
    assert not service.get("privileged", False)
    for one in (old, new):
        for key in THREE:
            one["services"][name].pop(key, None)
    assert old == new
    assert patch("compose", patched, name, caps).text == patched
    assert patched.count("\r\n") == (patched.count("\n") if "\r\n" in text else 0)


def flow(value: Any) -> str:
    return yaml.dump(value, default_flow_style=True, width=1000).strip()


SOME = st.fixed_dictionaries(
    {},
    optional={
        "cap_add": st.lists(CAPS, max_size=3),
        "cap_drop": st.lists(CAPS, max_size=3),
        "privileged": st.booleans(),
        "tty": st.booleans(),
    },
)


@st.composite
def merging(draw: st.DrawFn) -> tuple[str, str]:
    """A compose file whose services take from each other what they do not say themselves."""
    lines = [f"x-base: &base {flow(draw(SOME))}", "services:"]
    known = ["base"]
    for name in "abcd":
        kind = draw(st.sampled_from(["own", "merge", "flow", "alias"]))
        source = draw(st.sampled_from(known))
        some = draw(SOME)
        if kind == "alias":
            lines.append(f"  {name}: *{source}")
            continue
        if kind == "flow":
            inner = flow(some)[1:-1]
            lines.append(f"  {name}: &{name} {{<<: *{source}{', ' if inner else ''}{inner}}}")
        else:
            lines.append(f"  {name}: &{name}  # service {name}")
            lines += [f"    <<: *{source}"] if kind == "merge" else ["    image: x"]
            lines += [f"    {key}: {flow(value).split(chr(10))[0]}" for key, value in some.items()]
        known.append(name)
    return "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n# end\n"])), draw(
        st.sampled_from("abcd")
    )


def meaning(service: dict[str, Any]) -> dict[str, Any]:
    """An empty list, and a switch that is off, are as good as none."""
    return {key: value for key, value in service.items() if value or key not in THREE}


@settings(max_examples=50, deadline=None)
@given(merging(), SETS)
def test_what_others_take_from_a_service_stays(
    file: tuple[str, str], caps: tuple[str, ...]
) -> None:
    text, name = file
    patched = patch("compose", text, name, caps).text
    (old,), (new,) = load(text), load(patched)
    for other in old["services"]:
        if other != name:
            assert meaning(new["services"][other]) == meaning(old["services"][other])
    service = new["services"][name]
    added = [item.upper().removeprefix("CAP_") for item in service.get("cap_add", [])]
    assert (service["cap_drop"], sorted(added)) == (["ALL"], sorted(caps))
    assert not service.get("privileged")
    assert patch("compose", patched, name, caps).text == patched


ADDED = st.fixed_dictionaries(
    {}, optional={"add": st.lists(CAPS, max_size=3), "drop": st.lists(CAPS, max_size=3)}
)
CONTEXT = st.fixed_dictionaries(
    {},
    optional={
        "privileged": st.booleans(),
        "runAsUser": st.just(0),
        "seccompProfile": st.fixed_dictionaries(
            {"type": WORDS}, optional={"localhostProfile": WORDS}
        ),
        "capabilities": ADDED | st.none(),
    },
)


@st.composite
def pods(draw: st.DrawFn) -> str:
    """A manifest with two pods of two containers, which can share what they say, wholly and in
    part: the same objects become anchors and aliases."""
    contexts = draw(st.lists(CONTEXT | st.none(), min_size=1, max_size=3))
    for context, other in pairwise(contexts):
        for key in ("capabilities", "seccompProfile"):
            if context and other and key in context and draw(st.booleans()):
                other[key] = context[key]
        if context and other and context.get("capabilities") and draw(st.booleans()):
            other["capabilities"] = dict(context["capabilities"])
    items = []
    for pod in "ab":
        containers = [{"image": "x", "name": name} for name in "cd"]
        for container in containers:
            if draw(st.booleans()):
                container["securityContext"] = draw(st.sampled_from(contexts))
            if draw(st.booleans()):
                container["args"] = [draw(WORDS)]
        items.append({"kind": "Pod", "metadata": {"name": pod}, "spec": {"containers": containers}})
    text: str = yaml.dump(
        {"kind": "List", "items": items},
        indent=draw(st.sampled_from([2, 4])),
        default_flow_style=draw(st.sampled_from([None, True, False])),
        width=draw(st.sampled_from([20, 80])),
        sort_keys=False,
        allow_unicode=draw(st.booleans()),
        line_break=draw(st.sampled_from(["\n", "\r\n"])),
    )
    return text


# What is shared is written in one line then, where ${X} has to stand in quotes.
SHARED = """kind: List
items:
- kind: Pod
  metadata: {name: a}
  spec:
    containers:
    - image: x
      name: c
      securityContext: &id001
        privileged: false
        capabilities:
          add:
          - ${X}
- kind: Pod
  metadata: {name: b}
  spec:
    containers:
    - image: x
      name: c
      securityContext: *id001
"""


@settings(max_examples=50, deadline=None)
@given(pods(), SETS)
@example(SHARED, ())
@example(SHARED + "    - name: d\n      securityContext: *id001\n", ())
@example(SHARED.replace("- ${X}", "- X\n        seccompProfile: {type: a}\n        a: :b"), ())
def test_in_any_manifest_one_container_changes(text: str, caps: tuple[str, ...]) -> None:
    patched = patch("kubernetes", text, "a/c", caps).text
    old, new = (containers(load(one)) for one in (text, patched))
    assert [bare(one) for one in new[1:]] == [bare(one) for one in old[1:]]
    context = new[0]["securityContext"]
    has = context.pop("capabilities")
    assert (has.pop("drop"), sorted(has.pop("add", []))) == (["ALL"], sorted(caps))
    assert not has
    assert not context.get("privileged")
    was = old[0].get("securityContext") or {}
    was.pop("capabilities", None)
    for one in (context, was):
        one.pop("privileged", None)
    assert bare(new[0]) == bare(old[0])
    assert patch("kubernetes", patched, "a/c", caps).text == patched


@st.composite
def sharing(draw: st.DrawFn) -> tuple[str, str]:
    """A manifest whose containers take from each other what they do not say themselves, at every
    level: the container, its securityContext, the capabilities in it, a list of these."""
    lines = ["kind: Pod", "metadata: {name: a}", "spec:", "  containers:"]
    known: dict[str, list[str]] = {"one": [], "context": [], "caps": [], "list": []}

    def shared(level: str, name: str, own: Any) -> str:
        """A value, perhaps anchored, perhaps from elsewhere, perhaps both."""
        anchor = draw(st.sampled_from(["", f"&{level}-{name} "]))
        kind = draw(st.sampled_from(["own", "alias", "merge"])) if known[level] else "own"
        source = f"*{draw(st.sampled_from(known[level]))}" if kind != "own" else ""
        if kind == "alias":
            return source
        if isinstance(own, dict):
            if level == "context" and "capabilities" in own:
                own["capabilities"] = shared("caps", name, own["capabilities"])
            if level == "caps" and "add" in own:
                own["add"] = shared("list", name, own["add"])
            inner = [f"<<: {source}"] if source else []
            inner += [
                f"{key}: {said if isinstance(said, str) else flow(said)}"
                for key, said in own.items()
            ]
            said = "{" + ", ".join(one.split("\n")[0] for one in inner) + "}"
        else:
            said = flow(own)
        if anchor:
            known[level].append(f"{level}-{name}")
        return anchor + said

    for name in "abcd":
        source = draw(st.sampled_from(known["one"])) if known["one"] and draw(st.booleans()) else ""
        anchor = draw(st.sampled_from(["", f"&one-{name}"]))
        lines.append(f"  - {anchor}  # container {name}")
        lines += [f"    <<: *{source}"] if source else ["    image: x"]
        lines += [f"    name: {name}"]
        context = draw(st.none() | CONTEXTS)
        if context is not None:
            lines.append(f"    securityContext: {shared('context', name, context)}")
        if anchor:
            known["one"].append(f"one-{name}")
    return "\n".join(lines) + "\n", draw(st.sampled_from("abcd"))


CONTEXTS = st.fixed_dictionaries(
    {}, optional={"capabilities": ADDED, "privileged": st.booleans(), "runAsUser": st.just(0)}
)


# What is given back can be empty, which is not nothing.
EMPTY = """kind: Pod
metadata: {name: a}
spec:
  containers:
  - &a
    name: a
    securityContext: {capabilities: {}}
  - <<: *a
    name: b
"""


@settings(max_examples=50, deadline=None)
@given(sharing(), SETS)
@example((EMPTY, "a"), ())
def test_what_others_take_from_a_container_stays(
    file: tuple[str, str], caps: tuple[str, ...]
) -> None:
    text, name = file
    patched = patch("kubernetes", text, f"a/{name}", caps).text
    (old,), (new,) = load(text), load(patched)
    for was, has in zip(old["spec"]["containers"], new["spec"]["containers"], strict=True):
        if was["name"] != name:
            assert bare(has) == bare(was)
            continue
        had, context = was.get("securityContext", {}), has["securityContext"]
        assert sorted(context["capabilities"].get("add", [])) == sorted(caps)
        assert context["capabilities"]["drop"] == ["ALL"]
        assert not context.get("privileged")
        assert had.get("runAsUser") == context.get("runAsUser")
    assert patch("kubernetes", patched, f"a/{name}", caps).text == patched


def bare(container: dict[str, Any]) -> dict[str, Any]:
    """An empty securityContext is as good as none."""
    return {key: value for key, value in container.items() if value or key != "securityContext"}


@pytest.mark.parametrize(
    "words",
    [
        "--cap-add SYS_ADMIN",
        '"--cap-add" "SYS_ADMIN"',
        "--cap-add 'SYS_ADMIN,KILL' --privileged=1",
        "'--cap-add=SYS_ADMIN' --cap-drop=\"KILL\"",
    ],
)
def test_what_podman_is_given_besides_gives_nothing(words: str) -> None:
    text = f"[Container]\nImage=x\nPodmanArgs={words} --env 'A=b --privileged'\n"
    patched = patch("quadlet", text, None, ()).text
    assert patched.splitlines()[2] == "PodmanArgs=--env 'A=b --privileged'"
    (declared,) = FORMATS["quadlet"].read(patched)
    assert (declared.add, declared.drop, declared.privileged) == ((), ("all",), False)


UNIT_CAPS = st.lists(
    st.sampled_from(["CAP_CHOWN", "cap_net_raw", "CAP_SYS_ADMIN", "CAP_KILL"]), max_size=3
).map(" ".join)
OTHERS = ["# CHOWN: mine", "; old", "", "Restart=always", "Environment=A=b \\\n  C=d", "User=www"]


def unit(section: str, first: list[str], keys: list[str], values: st.SearchStrategy[str]) -> Any:
    """Files of one section, some of them drop-ins, with lines that are repeated and taken back."""
    line = st.sampled_from(OTHERS) | st.builds("{}={}".format, st.sampled_from(keys), values)
    return st.builds(
        lambda start, lines, end: "\n".join([f"[{section}]", *start, *lines]) + end,
        st.sampled_from([first, []]),
        st.lists(line, max_size=7),
        st.sampled_from(["", "\n", "\n\n[Install]\nWantedBy=x\n"]),
    )


def check_unit(language: str, text: str, caps: tuple[str, ...], *keys: str) -> None:
    patched = patch(language, text, None, caps).text
    (declared,) = FORMATS[language].read(patched)
    assert [name.upper() for name in declared.drop] == ["ALL"]
    added = [name.upper().removeprefix("CAP_") for name in declared.add]
    assert sorted(added) == sorted(caps)
    assert not declared.privileged
    assert patch(language, patched, None, caps).text == patched
    old, new = (
        [line for line in one.split("\n") if not line.startswith(("#", *keys)) and line]
        for one in (text, patched)
    )
    assert old == new


@settings(max_examples=50, deadline=None)
@given(
    unit(
        "Service",
        ["ExecStart=/bin/true"],
        ["CapabilityBoundingSet", "AmbientCapabilities"],
        UNIT_CAPS | UNIT_CAPS.map("~{}".format) | st.just("'CAP_KILL' \"CAP_CHOWN\""),
    ),
    SETS,
)
def test_any_service_gets_what_was_meant(text: str, caps: tuple[str, ...]) -> None:
    check_unit("systemd", text, caps, "CapabilityBoundingSet", "AmbientCapabilities")


@settings(max_examples=50, deadline=None)
@given(
    unit(
        "Container",
        ["Image=x"],
        ["AddCapability", "DropCapability", "PodmanArgs=--privileged --cap-add"],
        UNIT_CAPS,
    ),
    SETS,
)
def test_any_container_gets_what_was_meant(text: str, caps: tuple[str, ...]) -> None:
    text = re.sub(r"--cap-add=(\S+) .*", r"--cap-add=\1", text).replace("--cap-add=\n", "--init\n")
    check_unit("quadlet", text, caps, "AddCapability", "DropCapability", "PodmanArgs")


def test_what_a_container_cannot_have_is_said() -> None:
    text = "kind: Pod\nspec:\n  securityContext: {runAsNonRoot: true}\n  containers: [{name: c}]\n"
    assert any("user nonroot does not get these" in note for note in _notes(text))
    assert any(
        "user 7 does not get these" in note
        for note in _notes(text.replace("NonRoot: true", "User: 7"))
    )
    assert not any("only bounds" in note for note in _notes(text.replace("true", "false")))


def _notes(text: str) -> tuple[str, ...]:
    return patch("kubernetes", text, None, USUAL).notes


def test_a_container_goes_by_its_own_name_too() -> None:
    assert patch("kubernetes", POD, "d", USUAL).service == "Pod/a/d"


# ------------------------------------------------------------------------------ what is refused

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c}, {name: d}]}\n"
BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("language", "text", "service", "said", "hint"),
    [
        ("compose", "services:\n  a: [\n", None, "line 3: ", None),
        ("compose", "{{- if .x }}\nservices: {}\n", None, "line ", "a Helm template"),
        ("compose", "x: 1\n", None, "it has no services", None),
        ("compose", "", None, "it has no services", None),
        ("compose", "services: {}\n", None, "it has no service", None),
        ("compose", "services: {web: , api: }\n", None, "it has 2 services", "web, api"),
        ("compose", "services: {web: {}}\n", "wbe", "no service 'wbe'", "did you mean web?"),
        ("compose", "services: {web: }\n", "web", "'web' is not a mapping", None),
        ("compose", "include: [b]\nservices: {web: {}}\n", "db", "no service 'db'", "includes"),
        ("compose", "services: {a: *x}\n", "a", "line 1: ", None),
        ("compose", BOMB, None, "its aliases expand to too much", None),
        ("compose", "[" * 5000, None, "nest", None),
        ("compose", "services: {a: {}}\n---\nservices: {a: {}}\n", "a", "2 of its documents", None),
        ("kubernetes", POD, None, "it has 2 containers", "Pod/a/c, Pod/a/d"),
        ("kubernetes", POD, "a", "'a' fits several", "Pod/a/c"),
        ("kubernetes", POD, "pod/b", "no container 'pod/b'", "Pod/a/c"),
        (
            "kubernetes",
            POD + "---\n" + POD.replace("a}", "b}"),
            "c",
            "'c' fits several",
            "Pod/b/c",
        ),
        ("kubernetes", POD + "---\n" + POD, "a/c", "'Pod/a/c' twice", "a file of its own"),
        ("kubernetes", "kind: Widget\nspec: {}\n", None, "it has Widget", "Deployment"),
        ("kubernetes", "services: {}\n", None, "not a Kubernetes manifest", "Pod"),
        ("quadlet", "[Kube]\nYaml=x\n", None, "no section [Container]", "its manifest"),
        ("quadlet", "Image=x\n", None, "line 1: ", None),
        ("systemd", "[Container]\nImage=x\n", None, "no section [Service]", "quadlet"),
        ("systemd", "[Service]\nwhat\n", None, "line 2: ", None),
    ],
)
def test_what_cannot_be_patched_is_named(
    language: str, text: str, service: str | None, said: str, hint: str | None
) -> None:
    with pytest.raises(CapadviseError) as raised:
        PATCHES[language](text, service, snippet(USUAL))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert hint is None or hint in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("language", "text", "service"),
    [
        # the anchored service is used where it is no service
        ("compose", "services:\n  a: &a\n    image: x\nx-copy: *a\n", "a"),
        # a key twice: which of them counts?
        ("compose", "services:\n  a:\n    cap_add: [KILL]\n    cap_add: [CHOWN]\n", "a"),
        # the whole pod is shared
        (
            "kubernetes",
            "kind: List\nitems:\n"
            "- kind: Pod\n  metadata: {name: a}\n  spec: &s\n    containers:\n    - name: c\n"
            "- kind: Pod\n  metadata: {name: b}\n  spec: *s\n",
            "a/c",
        ),
    ],
)
def test_more_than_was_meant_is_refused(language: str, text: str, service: str) -> None:
    with pytest.raises((CannotPatch, BadInput)):
        PATCHES[language](text, service, snippet(USUAL))


# ------------------------------------------------------------------------------ what takes effect

QUOTED = """[Service]
ExecStart=/bin/true
CapabilityBoundingSet="CAP_CHOWN CAP_NET_BIND_SERVICE"
"""
"""One word, which is not a capability: systemd grants nothing."""


def test_the_patcher_reads_words_as_the_gate_does() -> None:
    patched = patch("systemd", QUOTED, None, ("CHOWN", "NET_BIND_SERVICE")).text
    (declared,) = FORMATS["systemd"].read(patched)
    assert declared.add == ("CAP_CHOWN", "CAP_NET_BIND_SERVICE")


def test_the_gate_sees_every_patch() -> None:
    for case in CASES:
        name = case.patched().service
        text = case.patched().text.removeprefix("\ufeff")
        kwargs = {"drop_in": True} if case.language in ("quadlet", "systemd") else {}
        every = read_module(case.language)(text, **kwargs)
        (declared,) = [item for item in every if kwargs or item.service == name]
        added = {item.upper().removeprefix("CAP_") for item in declared.add}
        assert added == set(case.caps), case.name
        assert {item.upper() for item in declared.drop} == {"ALL"}, case.name
        assert not declared.privileged, case.name


def read_module(language: str) -> Any:
    return import_module(f"capadvise.formats.{language}").read


LATER_MERGE = """x: &c {capabilities: {add: [SYS_ADMIN]}}
kind: Pod
spec:
  containers:
  - name: c
    securityContext:
      capabilities:
        drop: [ALL]
        add: [NET_ADMIN]
      <<: {capabilities: {add: [SYS_ADMIN]}}
"""
TAGGED_KEY = "services:\n  a:\n    !!binary cHJpdmlsZWdlZA==: true\n"


@pytest.mark.parametrize(
    ("language", "text", "line"), [("kubernetes", LATER_MERGE, 10), ("compose", TAGGED_KEY, 3)]
)
def test_a_file_that_readers_take_differently_is_not_patched(
    language: str, text: str, line: int
) -> None:
    """kubectl lets a later merge key win, and docker compose decodes a binary key: a patch of what
    stands there had no effect."""
    with pytest.raises(BadInput, match=f"line {line}: ambiguous"):
        patch(language, text, None, USUAL)


ROLLOUT = """apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: web}
spec:
  template:
    spec:
      containers:
      - name: app
        securityContext: {privileged: true}
"""


def test_a_kind_with_a_template_is_patched() -> None:
    for name in (None, "web/app", "Rollout/web/app", "rollout/web"):
        patched = patch("kubernetes", ROLLOUT, name, USUAL)
        assert patched.service == "Rollout/web/app"
        assert "privileged: false" in patched.text


@pytest.mark.parametrize(
    ("language", "text", "caps", "said"),
    [
        (
            "systemd",
            "[Service]\nExecStart=/bin/x\nPrivateDevices=yes\n",
            ("MKNOD",),
            "PrivateDevices= takes away MKNOD",
        ),
        (
            "kubernetes",
            "kind: Pod\nspec: {os: {name: windows}, containers: [{name: c}]}\n",
            (),
            "Pod/?/c runs on Windows",
        ),
    ],
)
def test_what_no_patch_can_give_is_refused(
    language: str, text: str, caps: tuple[str, ...], said: str
) -> None:
    with pytest.raises(CannotPatch) as caught:
        patch(language, text, None, caps)
    assert said in str(caught.value)


@pytest.mark.parametrize("add", ["!reset []", "!override [NET_ADMIN]", "!override []"])
@pytest.mark.parametrize("caps", [(), ("CHOWN",)])
def test_what_an_override_keeps_from_another_file_it_keeps_still(
    add: str, caps: tuple[str, ...]
) -> None:
    text = f"services:\n  web:\n    cap_drop: !reset null\n    cap_add: {add}\n    ports: [80]\n"
    done = patch("compose", text, "web", caps)
    new = done.text
    assert not any("overrides" in note for note in done.notes)
    assert re.search(r"^    cap_drop: !override$", new, re.MULTILINE), new
    assert re.search(r"^    cap_add: !(override|reset)\b", new, re.MULTILINE), new
    assert "!reset" not in new or not caps
    assert patch("compose", new, "web", caps).text == new


def test_a_patch_without_effect_is_refused() -> None:
    """Whatever a patcher does: what its reader does not see is not written."""

    def no_patch(text: str, service: str | None, snippet: Snippet) -> Patched:
        return Patched(text, "a")

    for language, text in (
        ("compose", "services: {a: {cap_drop: [ALL], privileged: true}}\n"),
        ("systemd", QUOTED),
        ("quadlet", "[Container]\nImage=x\nPodmanArgs=--privileged\nDropCapability=all\n"),
        ("kubernetes", POD),
    ):
        with pytest.raises((CannotPatch, BadInput), match=r"no effect|is missing after"):
            effective(language, no_patch, text, None, snippet(()))
