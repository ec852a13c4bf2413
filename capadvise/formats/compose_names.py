"""The names by which docker compose finds its files, in the order in which it looks for them. Of
each kind it reads the first."""

from __future__ import annotations

FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""In each folder from the current one upwards."""
OVERRIDES = tuple(
    f"{stem}.override.{ending}"
    for stem in ("compose", "docker-compose")
    for ending in ("yml", "yaml")
)
"""Beside one of these."""
