"""The screens: a view of values, which knows nothing of the kernel.

For others: ``app``, ``picker`` and ``watching`` are started, ``main`` and ``output`` are shown in
them; ``protocols`` says what they are given. Before Textual is loaded: ``early``, ``first_frame``,
``remembered``, ``theme``.
"""
