"""EPERM retries: the target runs with an empty effective set; what it is refused is tried again.

``tracer`` is a program of its own, and with ``machine`` all that uses python-ptrace (GPL). The
rest is pure and knows no ptrace: which calls are stopped (``calls``, ``bpf``), what is tried
(``attempts``), what a call was about (``decode``, ``netlink``), what was learned (``evidence``).
``session`` is the supervisor's side.
"""
