"""The page of the programs that were proven before: a table made of ``catalog/proven/``."""

from __future__ import annotations

from capadvise.catalog import Catalog
from capadvise.catalog.known import KnownProgram, Published, Variant
from capadvise.cli.manual.words import head, prose, row
from capadvise.model.caps import CapSet
from capadvise.report.risk import risk_word

_HEAD = """\
# Known programs

The sets of {programs} programs in {variants} variants. Each was found by trials: with the minimal
set the program starts, passes its check, stops, starts again and passes once more; without any one
member it fails. `capadvise known nginx` shows one with its reasons, its command and its check, and
`capadvise known nginx --format compose` prints its set. The name can be that of a program, a Debian
package, an image or a unit. `check` uses the table for services that have no report; `run`,
`explain` and `review` say what differs from it.

**What it does not say.** A row is one version, Debian's, run as its variant says. An image's
entrypoint can do more, and so can your configuration: `capadvise run --prove` proves yours.

To prove rows again, in a checkout as root: `python -m tests.proven.run nginx redis`, or without
names all of them. `--compare` writes nothing, and says where a set is another one now.

"Recommended adds": without it nothing fails, but something is lost that a trial noticed. The risk
is the highest of a set: of docker's default, and of the minimal one.
"""

_PUBLISHED = """\

## Beside what others publish

Sets that others publish for {programs} of these programs, whole ones and no additions to a default,
beside the minimal set of one variant. `capadvise known NAME` names the source.

"""

_LABELS = """\

## Labels

An image can say itself which capabilities it needs. `emit --format label` prints lines for a
Dockerfile, from a report; `known NAME --format label` from a row of this table:

```sh
(echo FROM team/web:2; capadvise emit web.json --format label) | docker build -t team/web:2 -
```

`docker`, `podman build` and `buildah` take them. These labels are written and read:

| label | holds |
| --- | --- |
| `io.capadvise.floor` | the minimal set: names without `CAP_` and commas; empty if it needs none |
| `io.capadvise.recommended` | the recommended set |
| `io.capadvise.user` | who starts it, as `uid:gid` or by names |
| `io.capadvise.variant` | of a known program: its version and variant |
| `io.capadvise.report` | `sha256:` and the digest of the report's file |
| `io.capadvise.version` | the version of capadvise |

`capadvise known image:team/web:2` reads them from an image that docker or podman has,
`capadvise known oci:FOLDER` from a folder in OCI's layout, and `check --images` holds services
without a report against them. No image is started or pulled. **A label is a claim of whoever built
the image, and no proof.** Who has the report can compare its digest, and prove it again.
"""


def known_page(catalog: Catalog) -> str:
    """All programs, by name."""
    programs = [catalog.known.program(name) for name in catalog.known.names()]
    variants = sum(len(program.variants) for program in programs)
    lines = _HEAD.format(programs=len(programs), variants=variants).splitlines()
    lines += ["", *head(*_TITLES)]
    lines += [_row(program, each, catalog) for program in programs for each in program.variants]
    published = [program for program in programs if program.published]
    if published:
        lines += _PUBLISHED.format(programs=len(published)).splitlines()
        lines += head(*_PUBLISHED_TITLES)
        lines += [_published(program, one) for program in published for one in program.published]
    return "\n".join((*lines, *_LABELS.splitlines())) + "\n"


_PUBLISHED_TITLES = ("program", "variant", "whose set", "beyond ours", "without", "why")


def _published(program: KnownProgram, one: Published) -> str:
    variant = program.beside(one)
    minimal = variant.minimal
    more, less = _names(one.caps - minimal), _names(minimal - one.caps)
    why = "the same" if one.caps == minimal else one.difference
    return row(program.name, prose(variant.name), prose(one.what), more, less, prose(why))


_TITLES = (
    *("program", "version", "variant", "minimal set", "recommended adds"),
    *("docker's default", "risk", "user namespace"),
)


def _row(program: KnownProgram, variant: Variant, catalog: Catalog) -> str:
    usual = catalog.baselines.default("docker").grants
    risks = [_worst(caps, catalog) for caps in (usual, variant.minimal)]
    return row(
        program.name,
        program.upstream,
        prose(variant.name),
        _names(variant.minimal),
        _names(variant.recommended - variant.minimal),
        f"{len(usual)} → {len(variant.minimal)}",
        " → ".join(risks),
        variant.user_namespace.partition(":")[0],
    )


def _worst(caps: CapSet, catalog: Catalog) -> str:
    worst = max(caps, key=catalog.risk_rank, default=None)
    return "none" if worst is None else risk_word(catalog.risk(worst))


def _names(caps: CapSet) -> str:
    return ", ".join(cap.short for cap in sorted(caps)) or "–"
