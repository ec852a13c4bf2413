"""One short function per subcommand: takes the parsed arguments, returns an exit code.

For ``cli`` alone; ``workflow`` does everything that takes several steps.
"""
