"""EPERM retries: the target runs with an empty effective set; what it is refused is tried again.

``tracer`` is a program of its own; it, ``call_stops``, ``inject`` and ``machine`` are all that
uses python-ptrace (GPL). Decisions are pure and return what to do (``actions``): ``policy`` says
what is tried, ``bookkeeping`` notes what a call changed, ``arguments`` looks at arguments,
``calls`` and ``bpf`` say what is stopped, ``attempts`` in which order is tried, ``thread`` and
``tree`` what is known, ``evidence`` counts what was shown, ``denied_checks`` reads what the kernel
refused,
``decode`` and ``netlink`` what a call was about. ``proc_view`` reads /proc for them. ``client`` is
the supervisor's side, ``launch`` the guardian's; ``mode`` and ``subids`` say whether and as whom.
"""
