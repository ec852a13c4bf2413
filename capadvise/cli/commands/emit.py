"""``capadvise emit``: the answer in the language of a runtime."""

import argparse
import shlex
from pathlib import Path

from capadvise.catalog import default
from capadvise.config import LANGUAGES, languages
from capadvise.config.compose import COMPOSE
from capadvise.config.kubernetes import KUBERNETES
from capadvise.config.snippet import Snippet
from capadvise.config.snippet_from import snippet_of
from capadvise.config.systemd import SYSTEMD
from capadvise.judgement.conclusion import Standing, conclude_report, standing_of
from capadvise.judgement.opening import Opening
from capadvise.judgement.report import Report
from capadvise.model.caps import Cap
from capadvise.model.errors import BadInput, Exit
from capadvise.report.load import load
from capadvise.report.pages import FORMATS
from capadvise.workflow.notice import answer, notice


def command(args: argparse.Namespace) -> int:
    """Print a snippet, write it to a file, or patch one with it."""
    if args.without is not None or args.delta:
        return _without(args)
    _check(args)
    report = load(Path(args.report), default())
    if args.drop_in:
        args.format, args.into = SYSTEMD.name, _drop_in(args, report)
    _require_judged(args.report, report)
    caps = report.proposal.recommended
    if args.set == "minimal":
        if report.proposal.minimal is None:
            raise BadInput(
                f"{args.report}: it has no minimal set: no trials were made",
                hint=f"capadvise prove {args.report}",
            )
        caps = report.proposal.minimal
    snippet = snippet_of(report, caps, default(), set_name=args.set)
    # Imports in functions take 8 ms and more: the usual answer, on stdout, does without them.
    if args.into is not None:
        if args.key is not None:
            raise BadInput("--key prints values: leave --into out")
        return _patch(args, report, snippet)
    for caution in snippet.cautions:
        notice(f"note: {caution}")
    text = FORMATS[args.format].render(snippet) if args.key is None else _values(snippet, args)
    answer(text, args.output)
    return Exit.OK


_OPENED = {
    **dict.fromkeys(("compose", "kubernetes", "oci"), ("docker", "podman")),
    **{"docker": ("docker",), "podman": ("podman",), "quadlet": ("podman",)},
}
"""Format → the engines whose default profile, opened, it can name."""


def _without(args: argparse.Namespace) -> int:
    """Print the set that works without a capability, or patch a file with it, and write the seccomp
    profile beside it."""
    if args.without is None or args.drop_in or args.key is not None:
        raise BadInput("--delta is for --without CAPABILITY, which takes no --drop-in and no --key")
    opening = _opening(args.report, report := load(Path(args.report), default()), args.without)
    if args.delta:
        answer("".join(f"{word}\n" for word in opening.added), args.output)
        return Exit.OK
    if opening.engine.partition(" ")[0] not in _OPENED.get(args.format, ()):
        raise BadInput(f"--format {args.format}: it does not take {opening.engine}'s profile")
    snippet = snippet_of(report, opening.caps, default(), beside=opening.beside)
    if args.into is None:
        answer(FORMATS[args.format].render(snippet), args.output)
    elif args.format == COMPOSE.name:
        _patch(args, report, snippet)
    else:
        raise BadInput("--without patches compose files alone: print it, and paste it")
    if opening.calls and args.format != "oci" and not args.dry_run:  # OCI has it inside
        path = Path(args.into or args.output or "x").with_name(snippet.profile_name)
        answer(opening.filter.text(), str(path))
        notice(f"{path}: the seccomp profile, written")
    return Exit.OK


def _opening(path: str, report: Report, cap: Cap) -> Opening:
    opening = report.proven.opening if report.proven else None
    if opening is None or opening.without != cap:
        hint = f"capadvise prove --without {cap.short} {shlex.quote(path)}"
        raise BadInput(f"{path}: no trial was made without {cap.short}", hint=hint)
    if opening.profile is None:
        raise BadInput(f"{path}: {opening.sentence}")
    return opening


def _require_judged(path: str, report: Report) -> None:
    """Raises BadInput for a report that does not tell what the target needs: written into a file,
    an empty set would look like an answer."""
    if standing_of(report)[0] is Standing.NOT_JUDGED:
        conclusion = conclude_report(report, default())
        step = conclusion.next.of(path)
        hint = f"sudo {shlex.join(step)}" if conclusion.next.as_root else shlex.join(step)
        raise BadInput(f"{path}: {conclusion.standing_words}", hint=hint)


def _check(args: argparse.Namespace) -> None:
    if args.drop_in and (args.into is not None or args.format not in (None, SYSTEMD.name)):
        raise BadInput("--drop-in is a file of systemd's: leave --into and other formats out")
    if args.format is None and not args.drop_in:
        raise BadInput("--format is missing", hint=f"one of: {', '.join(FORMATS)}")
    changes = args.into is not None or args.drop_in
    if changes and args.output is not None:
        raise BadInput("--into and --drop-in change a file in place: leave --output out")
    if args.into is None and args.service is not None:
        raise BadInput("--service is for --into FILE")
    if args.dry_run and not changes:
        raise BadInput("--dry-run is for --into FILE and --drop-in")


def _drop_in(args: argparse.Namespace, report: Report) -> str:
    from capadvise.config.systemd.file import drop_in_of
    from capadvise.gate.installed import UNIT_PATH, unit_file
    from capadvise.judgement.conclusion import Standing, standing_of
    from capadvise.model.target import recorded_unit

    unit = recorded_unit(report.target.argv) if report.target.kind == "unit" else None
    if unit is None:
        raise BadInput(
            f"{args.report}: it is no recording of a systemd unit",
            hint="name its file: --format systemd --into "
            "/etc/systemd/system/UNIT.service.d/capadvise.conf",
        )
    standing, doubt = standing_of(report)
    if standing in (Standing.NOT_PROVEN, Standing.CONTRADICTED) and not args.partial:
        why = f"{args.report}: the set is {standing.words}: {doubt}"
        raise BadInput(why, hint="--partial writes it anyway, and says so in its first line")
    if unit_file(unit, UNIT_PATH) is None and not args.dry_run:
        raise BadInput(
            f"{unit} is no unit of this machine",
            hint="--dry-run shows the drop-in, --format systemd -o FILE writes it elsewhere",
        )
    return drop_in_of(unit)


def _patch(args: argparse.Namespace, report: Report, snippet: Snippet) -> int:
    import shutil

    from capadvise.gate.patching import patching
    from capadvise.workflow.patch_file import patch_file

    language = LANGUAGES.get(args.format)
    if language is None or not language.can("edit"):
        why = language.cannot["edit"] if language else "it is a page, which no program reads"
        names = ", ".join(each.name for each in languages("edit"))
        raise BadInput(f"--into cannot patch {args.format}: {why}", hint=f"what it can: {names}")
    path = Path(args.into)
    made = patching(
        *(path, language, args.service, snippet, report),
        replaces=args.partial,
        other_program=args.other_program,
    )
    written = patch_file(made, with_dependents=args.with_dependents, dry_run=args.dry_run)
    if written and args.drop_in:
        if shutil.which("systemd-analyze") is None:
            notice("note: not checked: there is no systemd-analyze here")
        unit = shlex.quote(path.parent.name.removesuffix(".d"))
        notice(f"it takes effect after: systemctl daemon-reload && systemctl restart {unit}")
    return Exit.OK


def _values(snippet: Snippet, args: argparse.Namespace) -> str:
    if args.format != KUBERNETES.name:
        raise BadInput("--key is for --format kubernetes: values of a Helm chart")
    from capadvise.config.kubernetes.file import helm_values

    return helm_values(snippet, str(args.key))
