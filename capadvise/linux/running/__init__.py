"""Recording and inspecting what already runs: processes and containers.

Nothing of it is started, stopped, or sent a signal.
"""
