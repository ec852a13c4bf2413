"""Copies: does a program need a call to succeed, or does it go on without? Tried in one run.

At a call that can be refused (``watched``), the calling thread is stopped for some
milliseconds and its process is forked. The copy is forked again; to one of the two the call seems
to succeed, to the other one it fails with EPERM. Both go on, and nothing that they do reaches
anybody (``steps``), until they come to something that cannot be pretended. Then they are compared
(``difference``). The process itself notices nothing: its call is made after all.

``launch`` is the guardian's side, and the target's: a seccomp filter hands the calls to ``copier``,
a process of ours. ``client`` is the supervisor's side. ``thread`` moves a stopped thread, ``trial``
is one try, ``mode`` says whether copies can be made here, ``limits`` decides what is tried.
"""
