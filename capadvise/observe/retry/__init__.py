"""EPERM retries: the target runs with an empty effective set; refused calls are tried again.

For others: ``client`` is the supervisor's side, ``launch`` the guardian's, ``mode`` shows if a
target can be run so; ``decode`` puts arguments of calls into words.

``tracer`` is a program of its own; it and ``machine`` are the only users of python-ptrace (GPL).
Decisions are pure: ``policy`` returns the next ``Action`` of the tracer, ``bookkeeping`` notes the
changes of a call, ``arguments`` has predicates about arguments, ``calls`` the table of stopped
calls, ``thread`` the state of a thread and its tries, ``tree`` the threads and the evidence.
``failing`` stops calls only at a failure (BPF), and ``proc_view`` reads /proc.
"""
