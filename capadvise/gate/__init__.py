"""What a configuration file grants, judged by rules and by what was recorded. Pure, but
for ``files``, which reads and writes the user's file, and ``patching``, which also reads those that
compose joins with it.

``outcome.Outcome`` is the answer; ``text``, ``machine`` and ``installed_text`` show it. For others
besides: ``accepting``, ``baseline``, ``consumers``, ``finding``, ``patching``, ``pod``,
``pod_security``, ``projects``, ``sources``.
"""
