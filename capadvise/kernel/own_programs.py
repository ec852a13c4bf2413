"""Starts modules of ours as programs of their own: ``own_programs.py PATHS MODULE …``.

A program finds modules where the process does that starts it: Python by itself looks neither into
what the single file unpacked nor into the Debian package.
"""

import os
import sys


def own_program(module: str) -> list[str]:
    """The command that runs a module of ours."""
    paths = os.pathsep.join(path for path in sys.path if path)
    return [sys.executable, "-P", __file__, paths, module]


if __name__ == "__main__":
    import runpy

    sys.path[:] = sys.argv[1].split(os.pathsep)
    program = sys.argv[2]
    del sys.argv[1:3]
    runpy.run_module(program, run_name="__main__", alter_sys=True)
