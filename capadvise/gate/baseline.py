"""The reports that are kept beside the configuration, and which of them is a service's.

The rule: a report is a service's when its file is called after it (``web.json`` for ``web``), or
else when its target is. A Kubernetes container may be called by any end of its path:
``Deployment.web.app``, ``web.app``, ``app``; the longest that fits counts.
"""

from pathlib import Path

from capadvise.catalog import Catalog
from capadvise.config.declared import Declared
from capadvise.judgement.report import Report
from capadvise.model.errors import BadInput
from capadvise.model.escape import printable
from capadvise.report.load import load


class ReportFolder:
    """A folder of reports, or one report. A report is read when it is first asked for."""

    def __init__(self, place: Path, catalog: Catalog, *, alone: bool = False) -> None:
        """``alone``: there is one service, so a single report is its, whatever its name.

        Raises BadInput for a folder without reports.
        """
        self.catalog = catalog
        self.alone = alone
        self.single = not place.is_dir()
        self.paths = (place,) if self.single else tuple(sorted(place.glob("*.json")))
        self._reports: dict[Path, Report] = {}
        if not self.paths:
            raise BadInput(
                f"{place}: this folder holds no report (*.json)",
                hint="capadvise run -o FOLDER/SERVICE.json -- COMMAND",
            )

    def report(self, path: Path) -> Report:
        """Load one of the reports. Raises BadInput for a file that is no report."""
        if path not in self._reports:
            self._reports[path] = load(path, self.catalog, named=self.single)
        return self._reports[path]

    def of(self, declared: Declared) -> Path | None:
        """The report of a service by any of its names, or None. Raises BadInput if several fit."""
        paths = (self.find(name) for name in (declared.service, *declared.aliases))
        return next((path for path in paths if path is not None), None)

    def find(self, service: str) -> Path | None:
        """The report of a service by one name. Raises as ``of`` does."""
        if self.single and self.alone:
            return self.paths[0]
        parts = service.split("/")
        for called in (".".join(parts[i:]) for i in range(len(parts))):
            named = [path for path in self.paths if path.name == f"{called}.json"]
            fitting = named or self._by_target(called)
            if len(fitting) > 1:
                raise BadInput(
                    f"{fitting[0]} and {fitting[1]} both fit the service {service}",
                    hint=f"name the right one {printable(called)}.json, or merge them",
                )
            if fitting:
                return fitting[0]
        return None

    def _by_target(self, called: str) -> list[Path]:
        return [
            path
            for path in self.paths
            if called in ((target := self.report(path).target).service, target.name)
        ]
