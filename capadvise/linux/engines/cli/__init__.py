"""The command lines of docker and podman: how they are read, asked and answered."""
