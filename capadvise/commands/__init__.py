"""One short function per subcommand: takes the parsed arguments, returns an exit code."""
