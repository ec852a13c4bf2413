"""Recording and inspecting what already runs: processes, containers, pods, a whole machine.

Nothing of it is started, stopped, or sent a signal.
"""
