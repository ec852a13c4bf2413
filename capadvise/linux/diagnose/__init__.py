"""What can be observed on this machine, and whether the answers are right.

``doctor`` and ``self_check`` are for the command of that name; ``canary`` verifies an observer.
"""
