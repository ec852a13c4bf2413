"""Sets its capabilities to those whose mask is given, as by habit, and ends at once."""

import ctypes
import os
import sys

mask = int(sys.argv[1], 16)
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
sets = (ctypes.c_uint32 * 6)(mask, mask, 0, mask >> 32, mask >> 32, 0)
os._exit(ctypes.CDLL(None).capset(header, sets) and 1)
