"""Trace instances, the ring buffer, probes and the kernel's symbols: from a check to an event.

All of it may be imported. ``instances`` makes and drains the buffers of a recording; ``ringbuffer``
and ``check_events`` decode, and are pure. ``denials`` watches the whole machine.
"""
