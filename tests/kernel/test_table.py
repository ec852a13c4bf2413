"""What real commands need, on the real kernel."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.runs import Run

from .rows import FOREIGN, IN_SHELL, LOW_PORT, PROGRAMS, PYTHON, ROWS, SERVER, Row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.command.replace("/", "_")[:60])
def test_recommended_set(run: Run, tmp_path: Path, row: Row) -> None:
    work = tmp_path / "w"
    work.mkdir()
    subprocess.run(["bash", "-ec", row.setup], cwd=work, check=True)
    result = run(*row.argv, options=row.options, net=row.net)
    stopped = 143 if "--check" in row.options else 0
    assert result.code in (0, stopped), result.stderr
    subprocess.run(["bash", "-ec", row.check], cwd=work, check=True)
    assert result.recommended == set(row.want.split()), result.stderr
    assert not result.recommended & set(row.never.split())
    assert result.report["recordings"][0]["lost"]["signal"] == 0


def test_hostname_needs_sys_admin(run: Run) -> None:
    result = run("unshare", "--uts", "hostname", "other")
    sites = {
        frame
        for check in result.report["recordings"][0]["checks"]
        for frame in check["site"]
        if check["program"] == "hostname"
    }
    assert result.recommended == {"SYS_ADMIN"}
    assert "__x64_sys_sethostname" in sites


def test_a_read_of_a_foreign_file_names_the_alternative(run: Run, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    subprocess.run(["sh", "-c", FOREIGN], cwd=tmp_path / "w", check=True)
    need = run("cat", "f").need("DAC_OVERRIDE")
    assert need is not None
    assert need["alternatives"] == [["CAP_DAC_READ_SEARCH"]]


def test_another_user_can_bind_a_low_port(run: Run, tmp_path: Path) -> None:
    open_up(tmp_path)
    result = run(
        *f"{SERVER} 81".replace(IN_SHELL, "/usr/bin/python3").split(),
        options=("--user", "www-data", "--check", "curl -fs localhost:81"),
        net=LOW_PORT + "1024",
    )
    assert result.recommended == {"NET_BIND_SERVICE"}, result.stderr
    need = result.need("NET_BIND_SERVICE")
    assert need is not None
    checks = [c for c in result.report["recordings"][0]["checks"] if c["id"] in need["evidence"]]
    assert checks[0]["detail"] == "tcp 0.0.0.0:81"
    assert checks[0]["uid"] != 0


def test_io_uring_workers_are_seen_or_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    subprocess.run(["sh", "-c", FOREIGN], cwd=tmp_path / "w", check=True)
    result = run(PYTHON, f"{PROGRAMS}/io_uring_open.py", "f")
    assert result.code == 0, result.stderr
    need = result.need("DAC_READ_SEARCH")
    assert need is not None
    assert need["verdict"] == "needed" or "io_uring" in need["uncertain"]


def test_a_flood_of_sys_admin_hides_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "f").touch()
    result = run(PYTHON, f"{PROGRAMS}/mmap_loop.py", "300000", "f")
    assert result.recommended == {"CHOWN"}, result.stderr
    assert result.report["recordings"][0]["lost"]["signal"] == 0


def open_up(folder: Path) -> None:
    """Let every user reach a folder below /tmp."""
    for path in (folder, *folder.parents[:-2]):
        path.chmod(0o755)


NGINX = """
user www-data; worker_processes 1; pid {work}/pid; error_log {work}/error.log;
events {{ worker_connections 64; }}
http {{ access_log off; client_body_temp_path {work}/body; proxy_temp_path {work}/proxy;
fastcgi_temp_path {work}/fcgi; uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
server {{ listen 80; root {work}; }} }}
"""


def test_nginx(run: Run, tmp_path: Path) -> None:
    work = tmp_path / "w"
    work.mkdir()
    (work / "index.html").write_text("hello")
    (work / "nginx.conf").write_text(NGINX.format(work=work))
    open_up(work)
    result = run(
        *("nginx", "-c", f"{work}/nginx.conf", "-g", "daemon off;"),
        options=("--check", "curl -fs localhost"),
        net=LOW_PORT + "1024",
    )
    assert result.recommended == {"CHOWN", "NET_BIND_SERVICE", "SETGID", "SETUID"}, result.stderr
    need = result.need("NET_BIND_SERVICE")
    assert need is not None
    details = {
        check["detail"]
        for check in result.report["recordings"][0]["checks"]
        if check["id"] in need["evidence"]
    }
    assert details == {"tcp 0.0.0.0:80"}
