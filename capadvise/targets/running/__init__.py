"""Recording and inspecting what already runs: processes, containers, units, a whole machine.

Nothing of it is started, stopped, or sent a signal. Commands begin at ``record_running``,
``machine`` and ``inspect``; ``target`` finds what the user names.
"""
