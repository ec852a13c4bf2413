"""The known sets of a program, for people: ``capadvise known``."""

from collections.abc import Iterable, Iterator

from capadvise.catalog import Catalog
from capadvise.catalog.known import KnownNeed, KnownProgram, Published, Variant
from capadvise.catalog.known_index import other_version, repository
from capadvise.judgement.risk import risk_word
from capadvise.model.caps import CapSet
from capadvise.model.escape import printable
from capadvise.model.wording import counted, set_text
from capadvise.report.lines import WIDTH, bullet, cut, paragraph, sentence


def list_text(programs: Iterable[KnownProgram]) -> Iterator[str]:
    """A line for each variant."""
    rows = [(each, variant) for each in programs for variant in each.variants]
    wide = max((len(each.name) for each, _ in rows), default=0)
    for each, variant in rows:
        minimal = set_text(variant.minimal)
        yield f"{each.name:{wide}}  {each.upstream:9}  {minimal}  ({variant.name})"


def known_text(
    program: KnownProgram, word: str, catalog: Catalog, *, verbose: bool = True
) -> Iterator[str]:
    """One program: the answer, a line for each way of starting it, and the reasons if it is
    ``verbose``. ``word``: the word that it was looked up by."""
    first = program.variants[0]
    usual = catalog.baselines.default("docker").grants
    caps = first.recommended
    needs = f"{set_text(caps)} ({len(caps)}; " if caps else "no capability ("
    standing = "proven minimal" if caps == first.minimal else "proven"
    yield from paragraph(
        f"{program.name} needs {needs}docker grants {len(usual)}) · {standing}, {first.trials} "
        f"trials, {program.made.date}: {first.name}",
        "",
    )
    made = (
        f"{program.what}: Debian's {program.package} {program.version} "
        f"(Linux {program.made.kernel}, capadvise {program.made.capadvise})."
    )
    yield from paragraph(sentence(made))
    if catalog.known_index.namesake(word) and catalog.known.find(word) is None:
        yield from paragraph(printable(namesake_text(program, word)))
    elif other := other_version(program.name, program.version, word):
        yield from paragraph(printable(other))
    if repository(word) in program.images_of_users:
        yield from paragraph(_by_another_user(program, repository(word)))
    if verbose:
        for variant in program.variants:
            yield ""
            yield from _variant_text(variant, catalog)
    else:
        yield ""
        yield from _short(program, catalog)
    if program.published and not verbose:
        yield from paragraph(
            f"{counted(len(program.published), 'set')} that others "
            "publish, the reasons, commands and health checks: -v"
        )
    elif program.published:
        yield ""
        yield "What others publish for it"
        for one in program.published:
            yield from bullet(_published(program, one))
    yield ""
    yield from paragraph(
        "This is the program run and configured as above. The entrypoint of an image can do more "
        "(hand over a volume, change the user): capadvise run --prove -- docker run … tells."
    )
    if verbose:
        yield from paragraph(
            f"To prove it again, in a checkout: python -m tests.proven.run {program.name}"
        )


def _short(program: KnownProgram, catalog: Catalog) -> Iterator[str]:
    """The reasons of the first variant, and the sets of all."""
    needs = program.variants[0].needs
    rows = [(need.cap.short, risk_word(catalog.risk(need.cap)), need.why) for need in needs]
    names, risks = (max((len(row[at]) for row in rows), default=0) for at in (0, 1))
    for name, risk, why in rows:
        yield cut(f"  ● {name:{names}}  {risk:{risks}}  {why}", WIDTH)
    if len(program.variants) == 1:
        return
    yield ""
    for variant in program.variants:
        yield from bullet(f"{variant.name}: {set_text(variant.minimal)}", "  ")


def _variant_text(variant: Variant, catalog: Catalog) -> Iterator[str]:
    yield sentence(variant.name)[:-1]
    usual = catalog.baselines.default("docker").grants
    yield from bullet(f"minimal set: {set_text(variant.minimal)} ({variant.trials} trials)")
    if variant.recommended != variant.minimal:
        yield from bullet(f"also recommended: {set_text(variant.recommended - variant.minimal)}")
    spared = len(usual - variant.recommended)
    yield from bullet(f"of the {len(usual)} that docker grants by default, {spared} are not needed")
    for need in variant.needs:
        yield from bullet(_need(need), indent="    ")
    yield from bullet(f"fits a user namespace: {variant.user_namespace}")
    if not variant.no_new_privileges:
        yield from bullet("it starts a set-id program: no-new-privileges would break that")
    if variant.user != "root":
        yield from bullet(f"started by: {variant.user}")
    yield from bullet("command, in an empty folder:")
    yield from script_lines(variant.command)
    pids = "; $PIDS are its processes" if "$PIDS" in variant.check else ""
    yield from bullet(f"works if, in the same folder{pids}:")
    yield from script_lines(variant.check)


def script_lines(text: str) -> Iterator[str]:
    """A command as it is typed: its lines are neither joined nor wrapped."""
    if "$W" in text:
        yield f"{_SCRIPT}W=$PWD"
    for line in text.splitlines():
        yield f"{_SCRIPT}{printable(line)}"


_SCRIPT = " " * 6


def _by_another_user(program: KnownProgram, image: str) -> str:
    starts = f"The image {image} starts it as another user than root"
    if any(variant.user != "root" for variant in program.variants):
        return f"{starts}: of the variants below, those with a user are for it."
    return f"{starts}, who has none of these: what follows is for a start as root."


def namesake_text(program: KnownProgram, word: str) -> str:
    """The remark on an image that only has the name of one of the program's; unescaped."""
    ours = [*program.images, *program.images_of_users]
    those = f"not {' or '.join(ours)}" if ours else "an image that nothing is known of"
    return f"{repository(word)} is {those}: it is only called like {program.name}, and may differ."


def _published(program: KnownProgram, one: Published) -> str:
    nearest = program.beside(one)
    beyond = beyond_text(one.caps, nearest.minimal)
    named = f" ({nearest.name})" if len(program.variants) > 1 else ""
    why = f" {one.difference}" if one.caps != nearest.minimal else ""
    return f"{one.what}: {set_text(one.caps)}. {beyond}{named}.{why} Source: {one.source}"


def beyond_text(published: CapSet, proven: CapSet) -> str:
    """``Beyond the minimal set here: KILL; without CHOWN``."""
    if published == proven:
        return "The minimal set here is the same"
    more = [f"beyond the minimal set here: {set_text(published - proven)}"]
    less = [f"without {set_text(proven - published)} of the minimal set here"]
    said = "; ".join(more * bool(published - proven) + less * bool(proven - published))
    return f"{said[:1].upper()}{said[1:]}"


def _need(need: KnownNeed) -> str:
    when = f", {need.when}" if need.when else ""
    return f"{need.cap.short}: {need.why}{when}; without it: {need.without}"
