"""The arguments of what reads reports, files and facts: review, emit, explain, check, merge, diff;
catalog, help, known, completions."""

from __future__ import annotations

import argparse

from capadvise.cli.parser.verbs import (
    Verbs,
    json_option,
    renamed,
    set_option,
    verb,
    verbose_option,
)


def review(verbs: Verbs) -> None:
    what = "open a report in the TUI: choose, prove, see the risk, save"
    parser = verb(verbs, "review", "[REPORT]", what)
    parser.add_argument(
        "report",
        metavar="REPORT",
        nargs="?",
        help="open this report; without it: choose from the saved reports",
    )


_EMIT = """\
example: capadvise emit web.json --format compose --into compose.yaml --service web
"""


def emit(verbs: Verbs) -> None:
    from capadvise.report.pages import FORMATS

    parser = verb(
        *(verbs, "emit", "REPORT --format FORMAT|--drop-in [options]"),
        "print the set in a runtime's language, or patch a file",
        _EMIT,
    )
    parser.add_argument("report", metavar="REPORT", help="take the set from this report")
    parser.add_argument(
        "--format",
        choices=tuple(FORMATS),
        help="choose the language; required without --drop-in",
    )
    set_option(parser)
    parser.add_argument("--into", metavar="FILE", help="patch this file, and show the diff")
    parser.add_argument(
        "--service",
        metavar="[[NAMESPACE/]KIND/]NAME[/CONTAINER]",
        help="choose what to patch, where the file has several",
    )
    parser.add_argument("--dry-run", action="store_true", help="show the diff, write nothing")
    _output(parser, "write to this file; default: stdout")
    more = parser.more
    more.add_argument(
        "--drop-in",
        action="store_true",
        help=(
            "write /etc/systemd/system/UNIT.d/capadvise.conf for a systemd unit, checked by "
            "systemd-analyze, and show the diff"
        ),
    )
    more.add_argument(
        "--partial",
        action="store_true",
        help=(
            "let a report that did not observe the start (attach) take capabilities away; with "
            "--into or --drop-in"
        ),
    )
    more.add_argument(
        "--other-program",
        action="store_true",
        help="patch a file that runs another program than the recorded one; with --into",
    )
    more.add_argument(
        "--with-dependents",
        action="store_true",
        help="change the compose services that extend this one, too; with --into",
    )
    more.add_argument(
        "--key",
        metavar="KEY",
        help="print values of a Helm chart below this key (web.securityContext); with --format "
        "kubernetes",
    )


def explain(verbs: Verbs) -> None:
    parser = verb(
        *(verbs, "explain", "CAP | REPORT | --site FUNCTION"),
        "explain a capability, a report, a kernel function",
    )
    parser.add_argument(
        "what", nargs="?", metavar="CAP|REPORT", help="explain this capability or report"
    )
    parser.add_argument(
        "--site", metavar="FUNCTION", help="explain a kernel function that checks a capability"
    )


_CHECK = """\
FILE is {files}.
In a folder, all of them are judged; - is standard input. compose.prod.yaml given after compose.yaml
overrides it, as with docker compose -f. Variables, extends and include are resolved by docker
compose, if it is there.

A report is a service's when its file is called after it (web.json for web), or else when its
target is. A Kubernetes container may be called web.app or app, as its path ends.

An error fails the gate; with --strict, a warning does too. A file that cannot be judged, or that
its readers take differently, ends with 2; the others are judged anyway. A comment accepts a
finding: # capadvise: accept RULE, reason: TEXT. `capadvise help gate` says more.

example: capadvise check compose.yaml --against baseline/ --format github
"""


def _files() -> str:
    """The kinds of files that are read, in two lines."""
    from capadvise.config import languages  # which most subcommands do without

    *titles, title = (language.title for language in languages("read"))
    return f"{', '.join(titles[:3])},\n{', '.join(titles[3:])} or {title}"


def check(verbs: Verbs) -> None:
    parser = verb(
        *(verbs, "check", "[options] FILE|DIR …"),
        "check what files grant against rules and reports: the gate for CI",
        _CHECK.format(files=_files()),
    )
    parser.add_argument(
        "files", nargs="*", metavar="FILE|DIR|-", help="check these files, and those in folders"
    )
    parser.add_argument(
        "--against",
        metavar="REPORT|DIR",
        help="compare with the reports of the services: a file, or a folder of them",
    )
    parser.add_argument("--strict", action="store_true", help="fail on warnings, too")
    parser.add_argument(
        "--fix",
        action="store_true",
        help="give each service what its report recommends; with --against",
    )
    parser.add_argument(
        "--format",
        choices=_FINDINGS,
        help="print the findings as text (default), JSON, SARIF or annotations of GitHub",
    )
    _output(parser, "write the findings to this file; default: stdout")
    more = parser.more
    more.add_argument(
        "--require",
        choices=("baseline", "restricted"),
        help="demand this Pod Security level of each service",
    )
    more.add_argument(
        "--allow-unknown", action="store_true", help="accept services that no report covers"
    )
    more.add_argument(
        "--exceptions",
        metavar="FILE",
        help="accept the findings that this file lists, with owner and expiry",
    )
    more.add_argument(
        "--no-inline", action="store_true", help="ignore accepting comments in the files"
    )
    more.add_argument(
        "--resolve",
        action="store_true",
        help="let docker compose, quadlet, systemd, kustomize and helm resolve the files",
    )
    more.add_argument(
        "--images",
        action="store_true",
        help="read the labels of the services' images, as far as docker or podman have them",
    )
    more.add_argument(
        "--installed",
        action="store_true",
        help="check all systemd services of this machine instead of files, a line each",
    )


_FINDINGS = ("text", "json", "sarif", "github")


def format_of_check(args: argparse.Namespace) -> str:
    """The format of the findings. ``--output`` once named the format; a file of such a name is
    ``./json``."""
    if args.output in _FINDINGS:
        renamed(f"check --output {args.output}", f"--format {args.output}")
        args.format, args.output = args.output, None
    return args.format or _FINDINGS[0]


def merge(verbs: Verbs) -> None:
    parser = verb(
        verbs, "merge", "[options] REPORT …", "combine several runs of one target into one report"
    )
    parser.add_argument("reports", nargs="+", metavar="REPORT", help="combine these")
    parser.add_argument(
        "--as",
        dest="name",
        metavar="NAME",
        help="treat them as one target of this name, although they were run differently",
    )
    _output(parser, "write the merged report to this file; default: stdout", "REPORT")
    json_option(parser, "print JSON, as without it; --json=1: in the words of version 1")


def diff(verbs: Verbs) -> None:
    parser = verb(verbs, "diff", "[options] A B", "show what changed between two reports")
    parser.add_argument("before", metavar="A", help="compare this report")
    parser.add_argument("after", metavar="B", help="with this later one")
    _output(parser, "write the changes to this file; default: stdout")
    json_option(parser, "print JSON")


def catalog(verbs: Verbs) -> None:
    which = "list|show|check"
    parser = verb(verbs, "catalog", which, "list, show or check the facts")
    facts = parser.add_subparsers(
        dest="verb", required=True, metavar=which, prog="capadvise catalog"
    )
    verb(facts, "list", "", "list all capabilities, a line each")
    show = verb(facts, "show", "CAP", "show one capability, with every known use")
    show.add_argument("cap", metavar="CAP", help="show this capability")
    verb(facts, "check", "", "check every file against its schema")


_HELP = """\
example: capadvise help judgement
"""


def help_(verbs: Verbs) -> None:
    what = "show a page of the documentation; without a name, list the pages"
    verb(verbs, "help", "[PAGE]", what, _HELP).add_argument(
        "topic", nargs="?", metavar="PAGE", help="show this page"
    )


_KNOWN = """\
Each set was found by trials: with it the program starts, works, stops and starts again, and without
any one member of the minimal set it fails. NAME is a program, a Debian package, an image or a unit.
image:NAME is an image of this machine, and oci:FOLDER one in OCI's layout: what its labels say that
it needs, which is a claim of who built it.

examples:
  capadvise known
  capadvise known bitnami/redis:8.0
  capadvise known postgres --format compose
  capadvise known image:registry.example/team/web:2
"""


def known(verbs: Verbs) -> None:
    from capadvise.config import RENDERED

    parser = verb(
        *(verbs, "known", "[NAME [--format FORMAT]]"),
        "show the proven sets of well-known programs",
        _KNOWN,
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="show this program; without it: list all"
    )
    parser.add_argument(
        "--format",
        choices=tuple(name for name, each in RENDERED.items() if not each.for_command),
        help="print the set in this language; label: lines of a Dockerfile",
    )
    set_option(parser)
    parser.add_argument(
        "--variant",
        metavar="WORDS",
        help="choose the variant with these words in its name; default: the first",
    )
    verbose_option(parser)


_COMPLETIONS = """\
Commands, options, their values and file names are completed, after:

  capadvise completions bash > ~/.local/share/bash-completion/completions/capadvise
  capadvise completions fish > ~/.config/fish/completions/capadvise.fish
  capadvise completions zsh > ~/.zfunc/_capadvise

For zsh, .zshrc needs fpath+=~/.zfunc before it calls compinit. The folders must be there.
"""


def completions(verbs: Verbs) -> None:
    parser = verb(
        *(verbs, "completions", "bash|zsh|fish"),
        "print the completion script of a shell",
        _COMPLETIONS,
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="write it for this shell")


def _output(parser: argparse.ArgumentParser, what: str, kind: str = "FILE") -> None:
    parser.add_argument("-o", "--output", metavar=kind, help=what)
