"""The screens. They show values, and know nothing of the kernel.

For others: ``app``, ``picker`` and ``watching`` are started, ``main`` and ``output`` are shown in
them; ``protocols`` says what they are given. Before Textual is loaded: ``early``, ``first_frame``.
``theme`` is the look, as the terminal and the user want it.
"""
