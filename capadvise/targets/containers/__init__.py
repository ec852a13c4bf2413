"""Recording the containers that an engine's client starts, and trials of them.

Commands begin at ``record.observe_containers`` and ``trial``; ``registry`` lists the engines.
Others may import ``compose``, ``container_starts``, ``data``, ``default_profile``, ``grant``,
``prepare`` and ``project``, too.
"""
