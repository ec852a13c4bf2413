#!/usr/bin/env python3
# Runs before the single file does: an older Python could not even read what follows.
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - what else this is for
    found = "%s is %s" % (sys.executable, sys.version.split()[0])  # noqa: UP031 - older Pythons
    sys.stderr.write("capadvise: error: it needs Python 3.11 or later, and " + found + "\n")
    sys.stderr.write("capadvise: hint: name another one: python3.11 capadvise.pyz\n")
    sys.exit(2)
