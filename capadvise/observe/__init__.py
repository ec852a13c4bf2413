"""Seeing capability checks: starting a target, tracing it, retrying its refused calls.

``supervise`` starts and ends a target, and uses the others: ``ftrace`` reads events from the
kernel, ``tracking`` joins them to distinct checks, ``retry`` and ``audit`` are two more ways to
see refusals. Each folder lists what other rooms may import of it.
"""
