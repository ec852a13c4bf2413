"""``capadvise emit --into``: the answer in the user's own file."""

from __future__ import annotations

import argparse
import shlex
import shutil
from pathlib import Path

from capadvise.config import LANGUAGES, languages
from capadvise.config.snippet import Snippet
from capadvise.gate.patching import patching
from capadvise.judgement.report import Report
from capadvise.model.errors import BadInput, Exit
from capadvise.workflow.notice import notice
from capadvise.workflow.patch_file import patch_file


def patch(args: argparse.Namespace, report: Report, snippet: Snippet) -> int:
    """Patch the file that was named, and say of a drop-in when it takes effect."""
    language = LANGUAGES.get(args.format)
    if language is None or not language.can("edit"):
        why = language.cannot["edit"] if language else "it is a page, which no program reads"
        names = ", ".join(each.name for each in languages("edit"))
        raise BadInput(f"--into cannot patch {args.format}: {why}", hint=f"what it can: {names}")
    path = Path(args.into)
    made = patching(path, language, args.service, snippet, report, replaces=args.partial)
    written = patch_file(made, with_dependents=args.with_dependents, dry_run=args.dry_run)
    if written and args.drop_in:
        if shutil.which("systemd-analyze") is None:
            notice("note: not checked: there is no systemd-analyze here")
        unit = shlex.quote(path.parent.name.removesuffix(".d"))
        notice(f"it takes effect after: systemctl daemon-reload && systemctl restart {unit}")
    return Exit.OK
