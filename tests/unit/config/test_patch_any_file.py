"""Patches of any compose file, manifest, unit or quadlet, as Hypothesis makes them up: one service
changes, whatever it shares with others."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capadvise.config import LANGUAGES
from capadvise.model.caps import NAMES
from tests.support.patching import containers, load, patch

THREE = ("cap_add", "cap_drop", "privileged")
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
    (declared,) = LANGUAGES[language].read(patched)
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
