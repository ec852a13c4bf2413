"""EPERM retries: the target runs with an empty effective set; what it is refused is tried again.

For others: ``client`` is the supervisor's side, ``launch`` the guardian's, ``mode`` says whether a
target can be run so; ``decode`` says what a call was about.

``tracer`` is a program of its own; it, ``call_stops``, ``inject`` and ``machine`` are all that
uses python-ptrace (GPL). Decisions are pure and return what to do (``actions``): ``policy`` says
what is tried, ``bookkeeping`` notes what a call changed, ``arguments`` looks at arguments,
``calls`` and ``bpf`` say what is stopped, ``attempts`` in which order is tried, ``thread`` and
``tree`` what is known, ``evidence`` counts what was shown, ``denied_checks`` reads what the kernel
refused. ``proc_view`` reads /proc for them.
"""
