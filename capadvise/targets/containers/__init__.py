"""Recording the containers that an engine's client starts, and trials of them.

Commands begin at ``record.observe_containers`` and ``trial``; ``registry`` is the list of engines.
For others besides: ``compose``, ``container_starts``, ``data``, ``hidden_content``, ``own_users``,
``prepare``.
"""
