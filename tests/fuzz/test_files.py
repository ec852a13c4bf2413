"""Workload files and configuration files of users: refused with a place, or read; never more."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capadvise.config import languages
from capadvise.model import workload
from capadvise.model.errors import BadInput, CannotPatch
from tests.fuzz.strategies import TEXTS, VALUES, mutated
from tests.support.languages import FILES
from tests.support.patching import patch
from tests.support.readers import read

WORKLOAD = {"name": "a", "kind": "daemon", "command": ["true"], "timeout": 2.5, "fresh": ["/opt"]}
SERVICE = {"image": "x", "privileged": True, "cap_add": ["NET_RAW"], "security_opt": ["a:b"]}
COMPOSE = {"services": {"a": SERVICE, "b": {"extends": {"service": "a"}, "user": "1"}}}
CONTEXT = {"runAsUser": 1, "capabilities": {"drop": ["ALL"], "add": ["KILL"]}}
CONTAINERS = [{"name": "c", "image": "i", "securityContext": CONTEXT}]
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {}}
POD["spec"] = {"containers": CONTAINERS, "initContainers": CONTAINERS}
OCI = {"process": {"args": ["x"], "capabilities": {"bounding": ["CAP_KILL"]}, "user": {"uid": 0}}}
UNIT = (
    "[Container]\nImage=x\nAddCapability=KILL\n[Service]\nCapabilityBoundingSet=~CAP_KILL\nUser=a\n"
)
LINES = "--cap-drop ALL --cap-add=KILL --user 1:2 --privileged image cmd"
READERS = {name: text for name, (_, text, _) in FILES.items()} | {
    "compose": yaml.safe_dump(COMPOSE),
    "kubernetes": yaml.safe_dump(POD),
    "oci": json.dumps(OCI),
    "quadlet": UNIT,
    "systemd": UNIT,
    "docker": LINES,
    "podman": LINES,
}
YAML_PARTS = st.sampled_from(
    ["&a ", "*a", "<<: *a", "!!binary ", "? ", ": ", "- ", "\t", "|\n", ">-\n", "{", "[", "'", '"']
)
SLOW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@SLOW
@given(mutated(WORKLOAD, VALUES.filter(lambda value: "\ud800" not in repr(value))))
def test_a_damaged_workload_file_is_refused_with_its_place(tmp_path: Path, raw: object) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8", errors="surrogatepass")
    found = refused = None
    try:
        found = workload.load(path)
    except BadInput as error:
        refused = str(error)
    if found is None:
        assert refused
        assert refused.startswith(str(path))
    else:
        assert all(named.argv and named.workload.timeout > 0 for named in found)


@st.composite
def damaged(draw: st.DrawFn, text: str) -> str:
    """The text with pieces cut out, repeated, or made up."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 20)))
        piece = draw(TEXTS | YAML_PARTS | st.just(text[start:end] * 2))
        text = text[:start] + piece + text[end:]
    return text.encode(errors="ignore").decode()


@pytest.mark.parametrize("name", READERS)
@settings(deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused(name: str, data: st.DataObject) -> None:
    text = data.draw(damaged(READERS[name]))
    with suppress(BadInput):
        read(name, text)


@pytest.mark.parametrize("name", [each.name for each in languages("edit")])
@settings(deadline=None)
@given(st.data())
def test_a_damaged_file_is_patched_or_refused(name: str, data: st.DataObject) -> None:
    text = data.draw(damaged(READERS[name]))
    with suppress(BadInput, CannotPatch):
        patched = patch(name, text, None, ("CHOWN",)).text
        read(name, patched)


@pytest.mark.parametrize("name", [each.name for each in languages("read")])
def test_what_these_tests_damage_is_sound(name: str) -> None:
    assert read(name, READERS[name])
