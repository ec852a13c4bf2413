"""systemd's units as targets, with a real systemd as PID 1 of namespaces on this kernel."""
