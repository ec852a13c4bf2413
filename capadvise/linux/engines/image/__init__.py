"""What an image or a container's file system holds: owners, set-id bits, file capabilities."""
