"""What nobody on this machine uses: other tests may run at the same time."""

from __future__ import annotations

import json
import random

from capadvise.targets.containers.in_place import is_free
from tests.support.containers import call

_BELOW_CHOSEN = range(20000, 32000)
"""From 32768 on, the kernel gives ports to whoever connects."""


def port() -> int:
    """A TCP port of this machine."""
    return next(one for one in random.sample(_BELOW_CHOSEN, len(_BELOW_CHOSEN)) if is_free(one))


def subnet() -> str:
    """The first three numbers of one that no network of docker's has, nor gets by itself."""
    names = call("docker", "network", "ls", "--quiet").stdout.split()
    taken = json.dumps([call("docker", "network", "inspect", name).stdout for name in names])
    numbers = random.sample(range(1, 255), 254)
    return next(net for one in numbers if f"{(net := f'10.213.{one}')}." not in taken)
