"""The arguments of catalog, help and completions."""

from __future__ import annotations

from capadvise.cli.parser.verbs import Verbs, verb
from capadvise.config import LANGUAGES


def catalog(verbs: Verbs) -> None:
    """``catalog``."""
    which = "list|show|check"
    parser = verb(verbs, "catalog", which, "list, show or check the facts")
    facts = parser.add_subparsers(
        dest="verb", required=True, metavar=which, prog="capadvise catalog"
    )
    verb(facts, "list", "", "all capabilities, a line each")
    show = verb(facts, "show", "CAP", "one capability, with every use that is known of it")
    show.add_argument("cap", metavar="CAP")
    verb(facts, "check", "", "check that every file keeps to its schema")


_HELP = """\
example: capadvise help judgement
"""


def help_(verbs: Verbs) -> None:
    """``help``."""
    what = "documentation pages; without a name, their list"
    verb(verbs, "help", "[PAGE]", what, _HELP).add_argument("topic", nargs="?", metavar="PAGE")


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
    """``known``."""
    parser = verb(
        *(verbs, "known", "[NAME [--format FORMAT]]"),
        "sets of well-known programs that were proven before",
        _KNOWN,
    )
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument(
        "--format",
        choices=tuple(name for name, each in LANGUAGES.items() if not each.for_command),
        help="print the set in this language; label: lines of a Dockerfile",
    )
    parser.add_argument(
        "--set",
        choices=("recommended", "floor"),
        default="recommended",
        help="the recommended set (default), or the minimal set",
    )
    parser.add_argument(
        "--variant",
        metavar="WORDS",
        help="the variant with these words in its name; else the first",
    )


_COMPLETIONS = """\
Commands, options, their values and file names are completed, after:

  capadvise completions bash > ~/.local/share/bash-completion/completions/capadvise
  capadvise completions fish > ~/.config/fish/completions/capadvise.fish
  capadvise completions zsh > ~/.zfunc/_capadvise

For zsh, .zshrc needs fpath+=~/.zfunc before it calls compinit. The folders must be there.
"""


def completions(verbs: Verbs) -> None:
    """``completions``."""
    parser = verb(
        *(verbs, "completions", "bash|zsh|fish"),
        "print what a shell needs to complete a command line",
        _COMPLETIONS,
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
