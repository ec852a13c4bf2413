"""The stand-in for an API server, as kubectl reaches it: by HTTP, and for ``exec`` by WebSocket."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.cluster import CODES, Cluster, Object, Refused


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster: Cluster

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def _respond(self) -> None:
        parts = urlsplit(self.path)
        raw = self._body()
        code = 200
        try:
            self.cluster.require(self.command, parts.path)
            if parts.path.endswith("/exec"):
                self._exec(parts.path, parse_qs(parts.query))
                return
            kind = self.headers.get("Content-Type", "")
            body = json.loads(raw) if raw and ("json" in kind or raw[:1] == b"{") else None
            log = parts.path.endswith("/log")
            answer = {} if log else self.cluster.answer(self.command, self.path, body)
            text = "" if log else json.dumps(answer)
        except Refused as error:
            code = error.code
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
            text = json.dumps(status | {"message": str(error), "reason": CODES[code]})
        data = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _respond

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def _exec(self, path: str, query: dict[str, list[str]]) -> None:
        """A command in a container, by the fifth version of Kubernetes' protocol on WebSocket."""
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.send_header("Sec-WebSocket-Protocol", "v5.channel.k8s.io")
        self.end_headers()
        _, _, _, _, namespace, _, pod, _ = path.split("/")
        self.cluster.requests.append(("EXEC", f"{namespace}/{pod}"))
        words = query["command"]
        said, code = self.cluster.execute(
            self.cluster, namespace, pod, query["container"][0], words
        )
        data = said.encode()
        for at in range(0, len(data), 32768):
            self._frame(b"\x01" + data[at : at + 32768])
        status: Object = {"metadata": {}, "status": "Success"}
        if code:
            cause = {"reason": "ExitCode", "message": str(code)}
            status = {"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode"}
            status |= {"message": f"exit code {code}", "details": {"causes": [cause]}}
        self._frame(b"\x03" + json.dumps(status).encode())
        self._frame(struct.pack(">H", 1000), opcode=8)
        with suppress(OSError):
            self.connection.settimeout(5)
            while self.connection.recv(4096):
                pass
        self.close_connection = True

    def _frame(self, data: bytes, opcode: int = 2) -> None:
        size = len(data)
        head = bytes([0x80 | opcode])
        head += bytes([size]) if size < 126 else struct.pack(">BH", 126, size)
        with suppress(OSError):
            self.wfile.write(head + data)
            self.wfile.flush()


@contextmanager
def serving(folder: Path, namespace: str = "prod") -> Iterator[Cluster]:
    """A cluster that kubectl finds by ``KUBECONFIG``, which is set meanwhile."""
    cluster = Cluster(namespace)
    handler = type("Handler", (_Handler,), {"cluster": cluster})

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128
        address_family = socket.AF_INET

    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    config = folder / "kubeconfig"
    config.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "clusters": [
                    {
                        "name": "here",
                        "cluster": {"server": f"http://127.0.0.1:{server.server_port}"},
                    }
                ],
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
                "users": [{"name": "me", "user": {"token": "none"}}],
            }
        )
    )
    before = os.environ.get("KUBECONFIG"), os.environ.get("HOME")
    os.environ["KUBECONFIG"] = str(config)
    os.environ["HOME"] = str(folder)  # its cache of discovery
    try:
        yield cluster
    finally:
        for name, value in zip(("KUBECONFIG", "HOME"), before, strict=True):
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        server.shutdown()
        server.server_close()
        thread.join()
