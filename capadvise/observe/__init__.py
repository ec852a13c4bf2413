"""Seeing capability checks: starting a target, tracing it, retrying its refused calls.

``supervise`` starts and ends a target and stands on the others: ``tracking`` joins events to
distinct checks, ``ftrace`` reads them from the kernel, ``retry`` and ``audit`` are two more ways to
see. Each folder says what of it may be imported.
"""
