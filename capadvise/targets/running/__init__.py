"""Recording and inspecting what already runs: processes, containers, pods, a whole machine.

Nothing of it is started, stopped, or sent a signal. Commands begin at ``record_running``,
``record_pods``, ``machine`` and ``inspect``; ``target``, ``pods`` and ``units`` find what is named.
"""
