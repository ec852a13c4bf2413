"""What the benchmarks run: real programs, each in a folder of its own, sized by a scale.

A scale of 1 takes about a second of native time; slow tools are given less of the same.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

FORKS = "i=0; while [ $i -lt {count} ]; do /bin/true; i=$((i+1)); done"
STAT_OPEN = """
import os
for _ in range({count}): os.stat("/etc/passwd")
for _ in range({count} // 5): os.close(os.open("/etc/passwd", os.O_RDONLY))
"""
MMAP = """
import mmap
for _ in range({count}): mmap.mmap(-1, 4096).close()
"""
SQLITE = """
import os, sqlite3
base = sqlite3.connect("{folder}/bench.db", isolation_level=None)
base.execute("pragma synchronous = off")  # the disk is not what is measured
base.execute("drop table if exists t"); base.execute("create table t (a, b)")
for number in range({count}): base.execute("insert into t values (?, ?)", (number, "x" * 50))
"""
THREADS = """
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
static int count;
static void *work(void *unused) {
    for (int i = 0; i < count; i++) close(open("/etc/shadow", O_RDONLY));
    return unused;
}
int main(int argc, char **argv) {
    pthread_t threads[50];
    count = argc > 1 ? atoi(argv[1]) : 1;
    for (int i = 0; i < 50; i++) pthread_create(threads + i, 0, work, 0);
    for (int i = 0; i < 50; i++) pthread_join(threads[i], 0);
    return 0;
}
"""
SOURCE = '#include <stdio.h>\n#include <stdlib.h>\nint f{n}(int a) {{ return printf("%d", a); }}\n'
NGINX = """
pid {folder}/pid; error_log /dev/null; worker_processes 1; events {{ worker_connections 64; }}
http {{ access_log off; server {{ listen 127.0.0.1:{port}; location / {{ root {folder}; }} }} }}
"""
PORT = 18765


def _python(code: str, count: float, folder: Path) -> list[str]:
    return [sys.executable, "-c", code.format(count=int(count), folder=folder)]


def _threads(folder: Path, scale: float) -> list[str]:
    program = folder / "threads"
    if not program.exists():
        build = ["gcc", "-O1", "-pthread", "-x", "c", "-", "-o", str(program)]
        subprocess.run(build, input=THREADS.encode(), check=True)
    return [str(program), str(int(12000 * scale))]


def _make(folder: Path, scale: float) -> list[str]:
    files = int(30 * scale)
    for number in range(files):
        (folder / f"f{number}.c").write_text(SOURCE.format(n=number))
    objects = " ".join(f"f{number}.o" for number in range(files))
    (folder / "Makefile").write_text(f"all: {objects}\n")
    return ["make", "-s", "-B", "-j2", "-C", str(folder)]


def _nginx(folder: Path, scale: float) -> list[str]:
    (folder / "index.html").write_text("x" * 500)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=PORT))
    serve = f"nginx -c {folder}/nginx.conf"
    fetch = f"ab -q -n {int(9000 * scale)} -c 8 http://127.0.0.1:{PORT}/index.html >/dev/null"
    return ["sh", "-c", f"{serve} && {fetch} && {serve} -s quit"]


@dataclass(frozen=True)
class Load:
    """One program."""

    name: str
    command: Callable[[Path, float], list[str]]
    """What to run, in a folder, at a scale."""
    budgets: dict[str, float] = field(default_factory=dict)
    """Tool → the most that it may take, as a ratio to native."""


LOADS = (
    Load(
        "fork+exec in a shell",
        lambda folder, scale: ["sh", "-c", FORKS.format(count=int(1500 * scale))],
        {"capadvise": 1.05},
    ),
    Load(
        "stat and open",
        lambda folder, scale: _python(STAT_OPEN, 500_000 * scale, folder),
        {"capadvise": 1.02},
    ),
    Load(
        "mmap+munmap",
        lambda folder, scale: _python(MMAP, 150_000 * scale, folder),
        {"capadvise": 1.2},
    ),
    Load("make -j2, 30 C files", _make, {"capadvise": 1.05}),
    Load("nginx, 9,000 requests", _nginx, {"capadvise": 1.05}),
    Load("50 threads that open", _threads),
    Load(
        "sqlite, 15,000 commits",
        lambda folder, scale: _python(SQLITE, 15_000 * scale, folder),
    ),
)
