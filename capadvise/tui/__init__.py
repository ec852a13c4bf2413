"""The interactive session: a view of values. It knows nothing of the kernel."""
