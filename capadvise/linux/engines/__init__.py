"""Container engines: docker and podman, through their own command lines."""
