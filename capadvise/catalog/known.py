"""Programs with proven sets: ``catalog/proven/*.yaml``, one file each.

``python -m tests.proven.run`` makes these files, and the index of all their names (see
``known_index``). Looking for one program reads two files, however many there are.
"""

from dataclasses import dataclass

from capadvise.catalog.known_index import KnownIndex, upstream
from capadvise.model import input_file, strict
from capadvise.model.caps import Cap, CapSet
from capadvise.model.from_json import value_of


@dataclass(frozen=True, slots=True)
class KnownNeed:
    """A capability of a proven set."""

    cap: Cap
    why: str
    """Its purpose."""
    without: str
    """The loss in a trial without it."""
    when: str = ""
    """``only at the first start``; empty if every start needs it."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run and configure a program, and the sets that were proven for it."""

    name: str
    """The special part of it, in a few words."""
    workload: str
    """``FILE NAME``: the workload, with which everything can be proven again."""
    command: str
    check: str
    recommended: CapSet
    minimal: CapSet
    trials: int
    """The number of trials."""
    no_new_privileges: bool
    """None of its programs gains anything by set-id bits or file capabilities."""
    user_namespace: str
    """``yes``, or the obstacle."""
    needs: tuple[KnownNeed, ...]
    user: str = "root"
    """The user that starts it."""


@dataclass(frozen=True, slots=True)
class Published:
    """A set that others publish for the program."""

    what: str
    """The publisher and the place: ``memcached.service of Debian``."""
    caps: CapSet
    source: str
    difference: str = ""
    """The reason for a difference to the variant's set; empty if they are equal."""
    variant: str = ""
    """The variant to compare with; empty: the nearest one."""


@dataclass(frozen=True, slots=True)
class Made:
    """The circumstances of a proof."""

    capadvise: str
    """The version."""
    kernel: str
    system: str
    date: str


@dataclass(frozen=True, slots=True)
class KnownProgram:
    """One program, as one Debian version of it was proven."""

    name: str
    what: str
    """Its kind: ``a web server``."""
    package: str
    version: str
    """Debian's version of the package."""
    images: tuple[str, ...]
    """Repositories of images that run the same program and start it as root: ``nginx``."""
    images_of_users: tuple[str, ...]
    """The same, of images that start it as another user."""
    units: tuple[str, ...]
    """Names of its systemd units, without their ending."""
    made: Made
    variants: tuple[Variant, ...]
    commands: tuple[str, ...] = ()
    """Names of its executables."""
    published: tuple[Published, ...] = ()

    def beside(self, one: Published) -> Variant:
        """The variant to compare with a published set."""
        named = [variant for variant in self.variants if variant.name == one.variant]
        return min(named or self.variants, key=lambda variant: len(variant.minimal ^ one.caps))

    @property
    def upstream(self) -> str:
        """The version as its authors call it: ``1.26.3`` of ``1:1.26.3+dfsg-3+deb13u1``."""
        return upstream(self.version)

    @property
    def largest(self) -> CapSet:
        """The capabilities that at least one variant can use."""
        return frozenset().union(*(variant.recommended for variant in self.variants))

    @property
    def common(self) -> CapSet:
        """The capabilities that all variants need that root starts."""
        sets = [variant.minimal for variant in self.variants if variant.user == "root"]
        return frozenset.intersection(*sets) if sets else frozenset()


class Known:
    """The folder. Nothing is read before it is asked for."""

    def __init__(self, index: KnownIndex) -> None:
        """``index``: the index of the same folder."""
        self.index, self.folder = index, index.folder
        self._read: dict[str, KnownProgram] = {}

    def names(self) -> tuple[str, ...]:
        """All programs."""
        return tuple(sorted(self.index.raw["sets"]))

    def program(self, name: str) -> KnownProgram:
        """The program of this name, which must exist."""
        if name not in self._read:  # a thousand manifests can name one image
            path = self.folder / f"{name}.yaml"
            raw = strict.load(path, input_file.text(path))
            self._read[name] = value_of(KnownProgram, raw)
        return self._read[name]

    def find(self, word: str) -> KnownProgram | None:
        """Find a program by any name: its own, or that of a package, an executable, a unit or an
        image."""
        index = self.index
        return self.of(
            index.by_name(word)
            or index.by_command(word.rpartition("/")[2] if word.startswith("/") else word)
            or index.by_unit(word)
            or index.by_image(word)
        )

    def of(self, name: str | None) -> KnownProgram | None:
        """The program of what the index has found, if it has found one."""
        return self.program(name) if name else None
