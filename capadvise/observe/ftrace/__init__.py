"""Trace instances, the ring buffer, probes and the kernel's symbols: from a check to an event.

All of it may be imported. ``instances`` makes and drains what a recording needs; ``ringbuffer``,
``check_events`` and ``event_order`` decode, and are pure.
"""
