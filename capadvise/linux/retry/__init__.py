"""EPERM retries: the target runs with an empty effective set; what it is refused is tried again.

``tracer`` is a program of its own; it, ``inject`` and ``machine`` are all that uses python-ptrace
(GPL). ``rules`` decides what is tried, ``changes`` notes what a call changed, ``questions`` looks
at arguments. Pure are ``calls`` and ``bpf`` (what is stopped), ``attempts`` (in which order),
``thread`` (what is known), ``decode`` and ``netlink`` (what it was about). ``listen`` is the
supervisor's side, ``start`` the guardian's; ``choice`` and ``ids`` say whether and as whom.
"""
