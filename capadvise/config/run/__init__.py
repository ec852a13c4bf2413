"""The command lines of ``docker run`` and ``podman run``.

All of it may be imported.
"""

from capadvise.config.language import QUESTIONS, Language

_NO_FILE = "its options are words of a command line, which no file holds"
_CANNOT = dict.fromkeys(set(QUESTIONS) - {"render"}, _NO_FILE)

DOCKER = Language("docker", "capadvise.config.run.docker", cannot=_CANNOT)
PODMAN = Language("podman", "capadvise.config.run.podman", engine="podman", cannot=_CANNOT)
