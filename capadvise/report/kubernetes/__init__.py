"""Reports of the replicas of one workload, joined.

``fleet`` may be imported.
"""
