"""The consumer itself as judge: what docker compose, kubectl or helm make of files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from capadvise.catalog import Catalog
from capadvise.config.compose import file as compose
from capadvise.config.declared import Declared, Exposure, ExposureAt
from capadvise.config.language import Resolves
from capadvise.gate.outcome import Remark, Source
from capadvise.gate.service import granted
from capadvise.model.errors import BadInput


@dataclass(frozen=True, slots=True)
class AskingConsumers:
    """A ``gate.outcome.Resolver``: where a file cannot be judged alone, or always."""

    always: bool = False

    def resolved(self, source: Source, texts: Sequence[str], catalog: Catalog) -> Source:
        """What the consumer makes of a file and of those that are read with it."""
        match source.language.resolves:
            case Resolves.PROJECT:
                return self._project(source, texts)
            case Resolves.UNIT if self.always and len(source.declared) == 1:
                return self._unit(source, texts)
            case Resolves.BOUNDS if self.always and source.declared:
                return self._bounds(source, texts, catalog)
        return source

    def _project(self, source: Source, texts: Sequence[str]) -> Source:
        """What docker compose makes of a project, where that is not what is written. It takes
        80 ms."""
        includes = any(map(compose.includes, texts))
        if not (self.always or includes or _is_open(source, texts)):
            return source
        from capadvise.targets.client.answer import NoAnswer
        from capadvise.targets.containers.compose import resolved

        files, why = ", ".join(source.paths), ""
        for variables in (True, False):
            try:
                declared = compose.read(resolved(source.paths, variables=variables))
            except NoAnswer as error:
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
        if not self.always:
            return None
        place = Path(path)
        chart = place.name == "Chart.yaml"
        from capadvise.workflow import ask_consumer

        for argv in _CHART if chart else _KUSTOMIZATION:
            if _is_here(argv[0]):
                return ask_consumer.rendered(path, [*argv, str(place.parent)])
        return None

    def covers(self, template: str) -> bool:
        """Whether a template is of a chart that is resolved as a whole."""
        charts = (each / "Chart.yaml" for each in Path(template).parents)
        return self.always and _is_here("helm") and any(p.exists() for p in charts)

    def _unit(self, source: Source, texts: Sequence[str]) -> Source:
        """A quadlet as podman gets it, where that is here."""
        from capadvise.config.quadlet import file as quadlet
        from capadvise.workflow import ask_consumer

        shown = ask_consumer.ask(source.language, source.paths, texts)
        made = quadlet.read_shown(shown, Path(source.paths[0]).name) if shown else ()
        whole = tuple(_with_what_is_made(source.declared[0], one) for one in made)
        return replace(source, declared=whole) if whole else source

    def _bounds(self, source: Source, texts: Sequence[str], catalog: Catalog) -> Source:
        """A unit, with what systemd gives it besides what is read."""
        from capadvise.config.systemd.file import held_groups
        from capadvise.workflow import ask_consumer

        shown = ask_consumer.ask(source.language, source.paths, texts)
        groups = (held_groups(shown) if shown else None) or {}
        (written,) = source.declared
        read = {cap.name for cap in granted(written, source.language.judged_by, catalog)}
        unseen = [group for group, held in groups.items() if held and read.isdisjoint(group)]
        remarks = [
            Remark(source.paths[0], 1, f"systemd also gives it one of {', '.join(sorted(group))}")
            for group in unseen
        ]
        return replace(source, remarks=(*source.remarks, *remarks))


_CHART = (("helm", "template", "capadvise"),)
_KUSTOMIZATION = (("kubectl", "kustomize"), ("kustomize", "build"))


def _is_here(tool: str) -> bool:
    from shutil import which  # it loads four libraries that pack

    return which(tool) is not None


def _with_what_is_made(written: Declared, made: Declared) -> Declared:
    """A quadlet with what its command line has: also what its pod, volumes and defaults add."""
    kinds = {item.kind for item in written.exposed}
    more = [replace(item, line=written.line) for item in made.exposed if item.kind not in kinds]
    return replace(
        written,
        drop=made.drop,
        add=made.add,
        privileged=made.privileged,
        exposed=(*written.exposed, *more),
    )


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


def _is_open(source: Source, texts: Sequence[str]) -> bool:
    """Whether what is written is not all that counts."""
    services = [item for _, items in source.written for item in items]
    if len(source.paths) > 1 or any(item.unresolved for item in services):
        return True
    environment = Path(source.paths[0]).with_name(".env")
    return environment.exists() and any(map(compose.uses_variables, texts))
