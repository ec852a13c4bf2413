"""``capadvise known``: the sets of well-known programs, as they were proven before."""

import argparse

from capadvise.catalog import default
from capadvise.catalog.known import KnownProgram, Variant
from capadvise.catalog.known_index import other_version, repository
from capadvise.config import LANGUAGES
from capadvise.model.errors import BadInput, Exit
from capadvise.model.escape import printable
from capadvise.report.known_text import known_text, list_text, namesake_text
from capadvise.workflow.notice import notice


def command(args: argparse.Namespace) -> int:
    """Print the list, one program, or its set in a format."""
    known = default().known
    if args.name is None:
        if args.format:
            raise BadInput("--format is for one program", hint="capadvise known lists them")
        print("\n".join(list_text(map(known.program, known.names()))))
        return Exit.OK
    proven = known.find(args.name)
    program = proven or known.of(known.index.namesake(args.name))
    if program is None:
        raise BadInput(
            f"no set is known for {args.name!r}",
            hint="capadvise known lists the programs; to prove one: capadvise run --prove -- …",
        )
    if args.format is None:
        print("\n".join(known_text(program, args.name, default(), verbose=args.verbose)))
        return Exit.OK
    from capadvise.config.snippet_from import known_snippet

    variant = _chosen(program, args.name, args.variant)
    if proven is None:
        notice(f"note: {namesake_text(program, args.name)}")
    elif other := other_version(program.name, program.version, args.name):
        notice(f"note: {other}")
    set_name = args.set
    snippet = known_snippet(program, variant, set_name=set_name, asked=args.name)
    print(LANGUAGES[args.format].render(snippet), end="")
    return Exit.OK


def _chosen(program: KnownProgram, asked: str, words: str | None) -> Variant:
    """The first variant whose name has these words in it. If the image starts the program as
    another user than root, a variant that is started so comes first."""
    variants = [one for one in program.variants if (words or "").lower() in one.name.lower()]
    if repository(asked) in program.images_of_users:
        variants.sort(key=lambda one: one.user == "root")
    if not variants:
        names = "; ".join(one.name for one in program.variants)
        raise BadInput(f"no variant of {program.name} is called {words!r}", hint=printable(names))
    if len(program.variants) > 1 and words is None:
        notice(
            f"note: {program.name} was proven in {len(program.variants)} variants; this is: "
            f"{variants[0].name} (--variant)"
        )
    return variants[0]
