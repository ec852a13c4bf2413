"""kubectl, which does everything that concerns a cluster."""

import json
import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from capadvise.model.errors import CannotObserve
from capadvise.targets.kubernetes.objects import RUN, Object

_SERVER = re.compile(r"Error from server \((\w+)\)")
_INVALID = re.compile(r"^The .+ is invalid: *\n((?s:\* .+))", re.MULTILINE)
"""Before its causes, a line each: checkErr in k8s.io/kubectl/pkg/cmd/util."""
_TIMEOUT = 60
"""Seconds for one call; a login can wait for a person."""
_LARGEST = 128 << 20
"""The most bytes of an answer: the reports of a full node are a tenth of it."""


class ClusterError(CannotObserve):
    """An error of kubectl or of the server. ``reason``: the server's word, such as ``NotFound``."""

    def __init__(self, message: str, *, reason: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


def _run(
    words: list[str], stdin: str, timeout: float, fds: Sequence[int]
) -> tuple[int, bytes, str]:
    """Exit status, stdout and stderr, cut at the largest answer: a node can send anything."""
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as errors:
        with subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=answer,
            stderr=errors,
            process_group=0,
            pass_fds=fds,
        ) as process:
            try:
                with suppress(OSError):  # a client that is set-id
                    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (_LARGEST, _LARGEST))
                process.communicate(stdin.encode(), timeout)
            except BaseException:  # like subprocess.run: nobody else ends it
                process.kill()
                raise
        answer.seek(0)
        errors.seek(0)
        return process.returncode, answer.read(), errors.read().decode(errors="replace").strip()


def _refusal(verb: str, status: int, errors: str) -> ClusterError:
    """The error in the server's words, if kubectl passes them on."""
    lines, match = errors.splitlines(), _SERVER.search(errors)
    invalid = (
        None if verb == "exec" else _INVALID.search(errors)
    )  # else a container's program wrote it
    causes = "; ".join(re.findall(r"^\* (.*)", invalid[1], re.MULTILINE)) if invalid else ""
    last = lines[-1].removeprefix("error: ") if lines else f"exit status {status}"
    return ClusterError(f"kubectl {verb}: {causes or last}", reason=match[1] if match else "")


@dataclass(frozen=True, slots=True)
class Kubectl:
    """A client of one cluster."""

    flags: tuple[str, ...] = ()
    """The flags that choose the cluster and the user."""
    fds: tuple[int, ...] = ()
    """Descriptors that each call inherits."""

    @classmethod
    def pinned(cls, kubeconfig: str | None, context: str | None, user: str | None) -> "Kubectl":
        """A client that keeps to its cluster if somebody changes the current context. ``user``: the
        one to impersonate. Raises ClusterError."""
        named = (("kubeconfig", kubeconfig), ("as", user))
        client = cls(tuple(f"--{flag}={value}" for flag, value in named if value))
        if not context:
            with suppress(ClusterError):  # in a pod there is no kubeconfig, and nothing to choose
                context = client.call("config", "current-context").strip()
        return replace(client, flags=(*client.flags, f"--context={context}")) if context else client

    def words(self, *words: str) -> list[str]:
        """The command line of a call. Raises ClusterError."""
        program = shutil.which("kubectl")
        if program is None:
            raise ClusterError(
                "kubectl is not installed", hint="capadvise uses its contexts and logins"
            )
        return [program, *self.flags, *words]

    def call(self, *words: str, stdin: str | None = None, timeout: float = _TIMEOUT) -> str:
        """The output of a call. Raises ClusterError.

        Ctrl-C does not reach kubectl: it must still remove the pods afterwards.
        """
        line = self.words(*words)
        try:
            status, answer, errors = _run(line, stdin or "", timeout, self.fds)
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"kubectl {words[0]}: no answer in {timeout:.0f} s") from error
        except (OSError, ValueError) as error:
            raise ClusterError(f"kubectl {words[0]}: {error}") from error
        if len(answer) >= _LARGEST:
            raise ClusterError(
                f"kubectl {words[0]}: its answer is larger than {_LARGEST >> 20} MiB"
            )
        if status != 0:
            raise _refusal(words[0], status, errors)
        return answer.decode(errors="replace")

    def namespace(self) -> str:
        """The default namespace of kubectl."""
        words = ("config", "view", "--minify", "-o", "jsonpath={..namespace}")
        return self.call(*words).strip() or "default"

    def get(self, path: str, **query: str) -> Object:
        """The server's object at a path."""
        return self._object(self.call("get", f"--raw={_uri(path, query)}"))

    def items(self, path: str, **query: str) -> list[Object]:
        """The objects of a list, read a page at a time."""
        objects: list[Object] = []
        more: dict[str, str] = {"limit": "500"}
        while True:
            page = self.get(path, **query, **more)
            objects += page.get("items") or []
            if not (go_on := (page.get("metadata") or {}).get("continue")):
                return objects
            more["continue"] = go_on

    def create(self, path: str, what: Mapping[str, Any], **query: str) -> Object:
        """Create an object; returns the server's version of it."""
        words = ("create", f"--raw={_uri(path, query)}", "-f", "-")
        return self._object(self.call(*words, stdin=json.dumps(what)))

    def replace(self, path: str, what: Mapping[str, Any], **query: str) -> Object:
        """Replace an object."""
        words = ("replace", f"--raw={_uri(path, query)}", "-f", "-")
        return self._object(self.call(*words, stdin=json.dumps(what)))

    def delete(self, path: str, **query: str) -> None:
        """Remove an object; one that is gone is no error."""
        try:
            self.call("delete", f"--raw={_uri(path, query)}")
        except ClusterError as error:
            if error.reason != "NotFound":
                raise

    def execute(
        self, namespace: str, pod: str, container: str, words: Sequence[str], timeout: float
    ) -> str:
        """The output of a command in a container."""
        at = (f"--namespace={namespace}", pod, f"--container={container}", "--")
        return self.call("exec", *at, *words, timeout=timeout)

    def _object(self, text: str) -> Object:
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ClusterError("kubectl: the server's answer is no JSON") from error
        if not isinstance(answer, dict):
            raise ClusterError("kubectl: the server's answer is no object")
        return answer


def _uri(path: str, query: Mapping[str, str]) -> str:
    return quote(path) + (f"?{urlencode(query)}" if query else "")


_UNLESS_RELEASED = 'read -r _ || exec "$@"'
"""A line says that nothing is left; an end without one, that we were killed."""


@contextmanager
def removed_if_killed(kubectl: Kubectl, namespaces: Sequence[str], run: str) -> Iterator[Kubectl]:
    """A client whose pods of this run are removed even if capadvise is killed: for each namespace,
    a process in a session of its own notices the end of its input. Each kubectl holds the pipe
    open, too, as one that is about to make a pod outlives us. Raises ClusterError."""
    delete = ("delete", "pods", f"--selector={RUN}={run}", "--wait=false")
    processes = [
        subprocess.Popen(
            [
                *("sh", "-c", _UNLESS_RELEASED, "sh"),
                *kubectl.words(*delete, f"--namespace={namespace}"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for namespace in namespaces
    ]
    fds = tuple(process.stdin.fileno() for process in processes if process.stdin)
    try:
        yield replace(kubectl, fds=fds)
    finally:
        for process in processes:
            process.communicate(b"\n")
