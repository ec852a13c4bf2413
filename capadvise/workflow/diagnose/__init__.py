"""What can be observed on this machine, and whether the answers are right.

For others: ``doctor`` and ``self_check``, each the command of that name.
"""
