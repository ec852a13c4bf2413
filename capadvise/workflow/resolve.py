"""Ask consumers what they make of files: docker compose, kubectl, helm, podman and systemd."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from capadvise.catalog import Catalog
from capadvise.config.compose import file as compose
from capadvise.config.declared import Declared, Exposure
from capadvise.config.granted import granted
from capadvise.config.language import Resolves
from capadvise.gate.outcome import Remark, Source
from capadvise.model.errors import BadInput


@dataclass(frozen=True, slots=True)
class AskingConsumers:
    """A ``gate.outcome.Resolver``: asks if a file cannot be judged alone, or always."""

    always: bool = False

    def resolved(self, source: Source, texts: Sequence[str], catalog: Catalog) -> Source:
        match source.language.resolves:
            case Resolves.PROJECT:
                return self._project(source, texts)
            case Resolves.UNIT if self.always and len(source.declared) == 1:
                return self._unit(source, texts)
            case Resolves.BOUNDS if self.always and source.declared:
                return self._bounds(source, texts, catalog)
        return source

    def _project(self, source: Source, texts: Sequence[str]) -> Source:
        """Return a project as docker compose takes it, if that differs from its text. It takes
        80 ms."""
        includes = any(map(compose.includes, texts))
        if not (self.always or includes or _is_open(source, texts)):
            return source
        from capadvise.targets.client.answer import NoAnswer
        from capadvise.targets.containers.compose import resolved
        from capadvise.workflow.ask_consumer import check_files

        check_files(source.paths, source.language.reads)
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
                f"{files}: its included files cannot be judged: {why}",
                hint=(
                    "run the gate where docker compose is installed, or check the "
                    "included files too"
                ),
            )
        said = f"{files}: judged as written, without extends and overrides: {why}"
        # All declarations, not the last of each service: an override hides nothing of the others.
        written = tuple(item for _, items in source.written for item in items)
        return replace(source, declared=written, remarks=(Remark(source.paths[0], 1, said),))

    def folder(self, path: str) -> str | None:
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
        charts = (each / "Chart.yaml" for each in Path(template).parents)
        return self.always and _is_here("helm") and any(p.exists() for p in charts)

    def _unit(self, source: Source, texts: Sequence[str]) -> Source:
        """Return a quadlet as podman takes it, if that is installed."""
        from capadvise.config.quadlet import file as quadlet
        from capadvise.workflow import ask_consumer

        shown = ask_consumer.ask(source.language, source.paths, texts)
        made = quadlet.read_shown(shown, Path(source.paths[0]).name) if shown else ()
        whole = tuple(_with_what_is_made(source.declared[0], one) for one in made)
        return replace(source, declared=whole) if whole else source

    def _bounds(self, source: Source, texts: Sequence[str], catalog: Catalog) -> Source:
        """Add a remark for capabilities that systemd gives a unit and that were not read."""
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
    """A quadlet with the settings of its command line, from its pod, volumes and defaults, too."""
    kinds = {item.kind for item in written.exposed}
    more = [replace(item, line=written.line) for item in made.exposed if item.kind not in kinds]
    return replace(
        written,
        drop=made.drop,
        add=made.add,
        privileged=made.privileged,
        exposed=(*written.exposed, *more),
    )


def _with_what_is_lost(resolved: Declared, source: Source) -> Declared:
    """Add written settings that docker compose dropped: an older one does not know hooks and
    providers, but the one that runs the project may."""
    written = [item for _, items in source.written for item in items]
    same = [item for item in written if item.service == resolved.service]
    exposed = [
        each
        for item in same
        for each in item.exposed
        if each.kind is Exposure.PRIVILEGED_COMMAND or each.what == "use_api_socket"
    ]
    unjudged = [each for item in same for each in item.unjudged]
    known = {(item.kind, item.what) for item in resolved.exposed}
    return replace(
        resolved,
        exposed=(*resolved.exposed, *(e for e in exposed if (e.kind, e.what) not in known)),
        unjudged=tuple(dict.fromkeys((*resolved.unjudged, *unjudged))),
    )


def _is_open(source: Source, texts: Sequence[str]) -> bool:
    """True if other files or variables change the written text."""
    services = [item for _, items in source.written for item in items]
    if len(source.paths) > 1 or any(item.unresolved for item in services):
        return True
    environment = Path(source.paths[0]).with_name(".env")
    return environment.exists() and any(map(compose.uses_variables, texts))
