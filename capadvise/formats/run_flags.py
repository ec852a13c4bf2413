"""The options of ``docker run`` and ``podman run``: one table for all that reads command lines."""

from __future__ import annotations

from capadvise.formats.pflag import Grammar

_LETTERS = {
    **{"d": "detach", "i": "interactive", "t": "tty", "P": "publish-all", "q": "quiet"},
    **{"a": "attach", "c": "cpu-shares", "e": "env", "h": "hostname", "l": "label"},
    **{"m": "memory", "p": "publish", "u": "user", "v": "volume", "w": "workdir"},
}
_FLAGS = (
    *("detach", "interactive", "tty", "publish-all", "quiet", "rm", "init", "privileged", "help"),
    *("read-only", "sig-proxy", "no-healthcheck", "oom-kill-disable", "disable-content-trust"),
    "use-api-socket",
    # podman's own
    *("rmi", "read-only-tmpfs", "no-hosts", "no-hostname", "replace", "tls-verify", "http-proxy"),
    *("env-host", "unsetenv-all", "passwd", "rootfs"),
)
RUN = Grammar(frozenset(_FLAGS), _LETTERS)
"""``docker run`` and ``podman run``. tests/engines holds it against what these say themselves."""
