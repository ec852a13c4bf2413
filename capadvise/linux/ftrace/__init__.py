"""Trace instances, the ring buffer, probes and the kernel's symbols: from a check to an event.

``instances`` makes and drains what a recording needs; the decoding modules are pure.
"""
