"""The capabilities that a file grants a service, as the consumer of the file reads it. Pure."""

from capadvise.catalog import Catalog
from capadvise.config.consumer import ALL, Consumer, Winner
from capadvise.config.declared import Declared, may_be_root
from capadvise.model.caps import NAMES, Cap, CapSet

EVERY: CapSet = frozenset(Cap(number) for number in range(len(NAMES)))


def granted(declared: Declared, consumer: Consumer, catalog: Catalog) -> CapSet:
    """The bounding set that a service starts with, without names that have no effect. If a unit's
    user can never gain more, the set that this user starts with."""
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
    """The default set of a runtime; every capability without one."""
    runtimes = catalog.baselines.runtimes
    return next((item.grants for item in runtimes if item.name == runtime), EVERY)
