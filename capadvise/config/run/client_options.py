"""The options of the docker and podman clients' commands, of all versions. Every other option takes
a value. A test compares them with the clients' ``--help``."""

from __future__ import annotations

from capadvise.config.run.pflag import Grammar

RUN = Grammar(
    frozenset(
        (
            *("detach", "disable-content-trust", "help", "init", "interactive", "no-healthcheck"),
            *("oom-kill-disable", "privileged", "publish-all", "quiet", "read-only", "rm"),
            *("sig-proxy", "tty"),
            # docker's own
            "use-api-socket",
            # podman's own
            *("env-host", "http-proxy", "no-hostname", "no-hosts", "passwd", "read-only-tmpfs"),
            *("replace", "rmi", "rootfs", "tls-verify", "unsetenv-all"),
        )
    ),
    {
        **{"a": "attach", "c": "cpu-shares", "d": "detach", "e": "env", "h": "hostname"},
        **{"i": "interactive", "l": "label", "m": "memory", "P": "publish-all", "p": "publish"},
        **{"q": "quiet", "t": "tty", "u": "user", "v": "volume", "w": "workdir"},
    },
)
"""``run`` and ``create`` of docker and podman: no name is a flag in one and has a value in the
other."""

CLIENT = {
    "docker": Grammar(
        frozenset(("debug", "help", "tls", "tlsverify", "version")),
        {"c": "context", "D": "debug", "H": "host", "l": "log-level", "v": "version"},
    ),
    "podman": Grammar(
        frozenset(("help", "noout", "remote", "syslog", "trace", "transient-store", "version")),
        {"c": "connection", "r": "remote", "v": "version"},
    ),
    "kubectl": Grammar(
        frozenset(
            (
                *("disable-compression", "help", "insecure-skip-tls-verify"),
                *("match-server-version", "warnings-as-errors"),
            )
        ),
        {"h": "help", "n": "namespace", "s": "server"},
    ),
    "helm": Grammar(
        frozenset(("debug", "help", "kube-insecure-skip-tls-verify")),
        {"h": "help", "n": "namespace"},
    ),
}
"""Client → the options before the command."""

COMPOSE = Grammar(
    frozenset(("all-resources", "compatibility", "dry-run", "help", "no-ansi", "verbose")),
    {"f": "file", "p": "project-name"},
)
"""``docker compose``."""

PODMAN_COMPOSE = Grammar(
    frozenset(("dry-run", "help", "no-ansi", "no-cleanup", "no-normalize", "verbose", "version")),
    {"f": "file", "h": "help", "p": "project-name", "v": "version"},
)
"""``podman-compose``. The options of its ``up`` and ``run`` are docker compose's."""

COMPOSE_UP = Grammar(
    frozenset(
        (
            *("abort-on-container-exit", "abort-on-container-failure", "always-recreate-deps"),
            *("attach-dependencies", "build", "detach", "dry-run", "force-recreate", "help"),
            *("menu", "no-build", "no-color", "no-deps", "no-log-prefix", "no-recreate"),
            *("no-start", "quiet-build", "quiet-pull", "remove-orphans", "renew-anon-volumes"),
            *("timestamps", "wait", "watch", "yes"),
        )
    ),
    {"d": "detach", "t": "timeout", "V": "renew-anon-volumes", "w": "watch", "y": "yes"},
)
COMPOSE_RUN = Grammar(
    frozenset(
        (
            *("build", "detach", "dry-run", "help", "interactive", "no-deps", "no-TTY", "no-tty"),
            *("quiet", "quiet-build", "quiet-pull", "remove-orphans", "rm", "service-ports"),
            *("tty", "use-aliases"),
        )
    ),
    {
        **{"d": "detach", "e": "env", "i": "interactive", "l": "label", "P": "service-ports"},
        **{"p": "publish", "q": "quiet", "T": "no-TTY", "t": "tty", "u": "user", "v": "volume"},
        "w": "workdir",
    },
)
