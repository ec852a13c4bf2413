"""Files for the gate: tables by language, each a name and a text; and a folder with reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from capadvise.report.save import save
from tests.support.known import nginx_alone
from tests.support.recordings import BIND, CATALOG, CHOWN, report_of

FILES = ("pod.yaml", "compose.yaml", "a.service", "a.container", "config.json")
"""What the gate takes for a manifest, a compose file, a unit, a quadlet and a bundle."""
COMPOSE = """\
services:
  web:
    image: nginx
    cap_drop: [ALL]
    cap_add:
      - CHOWN
      - NET_BIND_SERVICE
  db:
    image: postgres
    cap_drop: [ALL]
    cap_add: [CHOWN, SYS_ADMIN]
  cache:
    image: nginx:1
    cap_add: [SYS_ADM]
    privileged: true
  quiet:
    image: quiet
    cap_drop: [ALL]
"""
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      hostNetwork: true
      containers:
      - name: app
        securityContext:
          runAsUser: 1000
          capabilities:
            drop: [ALL]
            add: [NET_RAW]
---
kind: Pod
metadata: {name: sound}
spec:
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: app
    securityContext:
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL]}
"""


def named(*languages: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """(file, name, text) of each, in the order of ``FILES``."""
    for file, texts in zip(FILES, languages, strict=True):
        for name, text in texts.items():
            yield file, name, text


def gated_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files above and reports; the gate is run in it, as in CI."""
    nginx_alone(monkeypatch)
    monkeypatch.chdir(folder)
    Path("compose.yaml").write_text(COMPOSE)
    Path("pods.yaml").write_text(MANIFEST)
    save(Path("baseline/web.json"), report_of(BIND, CHOWN), CATALOG)
    save(Path("baseline/db.json"), report_of(CHOWN), CATALOG)
    return folder
