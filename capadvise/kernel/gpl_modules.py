"""python-prctl, which trials need, and python-ptrace, which retries need. Recording needs neither.

Both are GPL, and pip compiles python-prctl: they are installed on request, and each is loaded by
a program of its own.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

_APT = "apt-get install python3-prctl python3-ptrace"


def folder_of(module: str) -> Path | None:
    """The folder that ``prctl`` or ``ptrace`` is imported from; None if it is not installed."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parents[1 if spec.submodule_search_locations else 0]


def is_missing(module: str) -> str:
    """The sentence for an error."""
    return f"the Python module {module} is missing"


def how_to_install() -> str:
    """The command that brings both to the Python that runs this."""
    if sys.prefix == sys.base_prefix == "/usr" and os.access("/usr/bin/apt-get", os.X_OK):
        return _APT
    return (
        f"apt-get install gcc libcap-dev python3-dev; {sys.executable} -m pip install "
        "python-prctl python-ptrace"
    )
