"""Whether what a report proposes could be held in a user namespace of its own."""

from __future__ import annotations

from dataclasses import replace

from capadvise.catalog import Catalog
from capadvise.report.model import Report
from capadvise.user_namespace import Fit, fit_of


def fit_of_report(report: Report, catalog: Catalog) -> Fit:
    """What trials in one have shown; else what follows from the checks."""
    fit = fit_of(report.proposal, catalog, report.posture)
    proven = report.proven
    if proven is None or not proven.user_namespace or proven.flaky or not proven.complete:
        return fit
    return replace(fit, fits=proven.floor is not None, outside=(), open=(), without=())
