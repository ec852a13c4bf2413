"""The consumer itself as judge: what docker compose, kubectl or helm make of files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from capadvise.errors import BadInput
from capadvise.formats import compose
from capadvise.formats.declared import Declared, Exposure, ExposureAt
from capadvise.gate.outcome import Remark, Source

SECONDS = 30.0
"""It reads files; one that takes longer hangs."""


@dataclass(frozen=True, slots=True)
class Resolver:
    """Asks consumers where a file cannot be judged alone, or always."""

    always: bool = False

    def compose(self, source: Source, texts: Sequence[str]) -> Source:
        """What docker compose makes of a project, where that is not what is written. It takes
        80 ms."""
        includes = any(map(compose.includes, texts))
        if not (self.always or includes or _is_open(source)):
            return source
        from capadvise.linux.engines.record.compose import NotResolved, resolved

        files, why = ", ".join(source.paths), ""
        for variables in (True, False):
            try:
                declared = compose.read(resolved(source.paths, variables=variables))
            except NotResolved as error:
                why = why or str(error)
                continue
            said = f"{files}: judged without its variables: {why}"
            remarks = (Remark(source.paths[0], 1, said),) if why else ()
            declared = tuple(_with_what_is_lost(item, source) for item in declared)
            return replace(source, declared=declared, remarks=remarks)
        if includes:
            raise BadInput(
                f"{files}: what it includes cannot be judged: {why}",
                hint=(
                    "run the gate where docker compose is installed, or check the "
                    "included files too"
                ),
            )
        said = f"{files}: judged as written, without extends and overrides: {why}"
        # Not the last word of each service: an override must not hide what it does not repeat.
        written = tuple(item for _, items in source.written for item in items)
        return replace(source, declared=written, remarks=(Remark(source.paths[0], 1, said),))

    def folder(self, path: str) -> str | None:
        """The manifests that a kustomization or a chart comes to; None where nobody is asked, or
        nobody is here to ask. Raises BadInput where the tool refuses it."""
        place = Path(path)
        if place.name == "Chart.yaml":
            argv = ["helm", "template", "capadvise", str(place.parent)]
        else:
            argv = ["kubectl", "kustomize", str(place.parent)]
        if not self.always or shutil.which(argv[0]) is None:
            return None
        import subprocess  # here: 8 ms that most checks need not spend

        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="backslashreplace",
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise BadInput(f"{path}: {argv[0]}: did not answer within {SECONDS:g} s") from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it failed"])[-1]
            raise BadInput(f"{path}: {argv[0]}: {last}")
        return done.stdout


def _is_new(item: ExposureAt) -> bool:
    """Whether a docker compose that does not know it yet leaves it out of a service."""
    return item.kind is Exposure.PRIVILEGED_COMMAND or item.what == "use_api_socket"


def _with_what_is_lost(resolved: Declared, source: Source) -> Declared:
    """A docker compose that is older than the one that runs the project drops what it does not
    know (hooks, providers) from what it resolves: what is written counts, too."""
    written = [item for _, items in source.written for item in items]
    same = [item for item in written if item.service == resolved.service]
    exposed = [each for item in same for each in item.exposed if _is_new(each)]
    unjudged = [each for item in same for each in item.unjudged]
    known = {(item.kind, item.what) for item in resolved.exposed}
    return replace(
        resolved,
        exposed=(*resolved.exposed, *(e for e in exposed if (e.kind, e.what) not in known)),
        unjudged=tuple(dict.fromkeys((*resolved.unjudged, *unjudged))),
    )


def _is_open(source: Source) -> bool:
    """Whether what is written is not all that counts."""
    services = [item for _, items in source.written for item in items]
    if len(source.paths) > 1 or any(item.unresolved for item in services):
        return True
    variables = any(item.variables for item in services)
    return variables and Path(source.paths[0]).with_name(".env").exists()
