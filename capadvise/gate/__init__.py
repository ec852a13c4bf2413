"""What a configuration file grants, judged by rules and by what was recorded. Pure.

``outcome.Outcome`` is the answer; ``text``, ``machine`` and ``installed_text`` show it. For others
besides: ``accepting``, ``baseline``, ``consumers``, ``finding``, ``pod``, ``pod_security``,
``projects``, ``sources``.
"""
