"""One short function per subcommand: takes the parsed arguments, returns an exit code.

For ``cli`` alone; what takes several steps is in ``workflow``.
"""
