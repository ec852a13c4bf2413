"""What a consumer grants a service of the names in its file. Pure."""

from __future__ import annotations

from capadvise.catalog import Catalog
from capadvise.config.consumer import ALL, Consumer, Winner
from capadvise.config.declared import Declared, may_be_root
from capadvise.model.caps import NAMES, Cap, CapSet

EVERY: CapSet = frozenset(Cap(number) for number in range(len(NAMES)))


def granted(declared: Declared, consumer: Consumer, catalog: Catalog) -> CapSet:
    """The bounding set that a service is started with, names without effect left out. Of a unit's
    user whom no program can give more, what he has from the start."""
    if declared.privileged:
        return EVERY
    if declared.windows and not declared.add:
        return frozenset()
    withheld = frozenset(Cap.parse(name) for name, _ in declared.withheld)
    listed = _listed(declared, consumer, catalog) - withheld
    if consumer.on_host and declared.no_new_privileges and not may_be_root(declared.user):
        return listed & {consumer.parse(name) for name in declared.ambient or ()}
    return listed


def _listed(declared: Declared, consumer: Consumer, catalog: Catalog) -> CapSet:
    """What the lists come to."""
    add = {consumer.parse(name) for name in declared.add}
    drop = {consumer.parse(name) for name in declared.drop}
    adds = frozenset(cap for cap in add if isinstance(cap, Cap))
    drops = frozenset(cap for cap in drop if isinstance(cap, Cap))
    nothing = consumer.drops_all(declared)
    if consumer.winner is Winner.DROP:
        base = defaults(consumer.runtime, catalog) if ALL not in add else EVERY
        return ((frozenset() if nothing else base) | adds) - drops
    if ALL in add:
        return EVERY - drops
    if nothing:
        return adds
    return defaults(consumer.runtime, catalog) - drops | adds


def defaults(runtime: str | None, catalog: Catalog) -> CapSet:
    """What a runtime grants where nothing is said."""
    runtimes = catalog.baselines.runtimes
    return next((item.grants for item in runtimes if item.name == runtime), EVERY)
