"""What real commands need, on the real kernel. The truth of each row was found by trial."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import Run

PROGRAMS = Path(__file__).parents[1] / "programs"
PYTHON = sys.executable


@dataclass(frozen=True)
class Row:
    """A command, its circumstances, and its answer."""

    command: str
    """Words, split at blanks; ``sh: …`` is given to a shell as it stands."""
    want: str
    never: str = "SYS_ADMIN"
    setup: str = ""
    net: str | None = None
    options: tuple[str, ...] = ()
    check: str = ""
    """Shell, run afterwards in the same directory: the command did its job."""

    @property
    def argv(self) -> list[str]:
        if self.command.startswith("sh: "):
            return ["sh", "-c", self.command.removeprefix("sh: ")]
        return self.command.split()


FOREIGN = "echo x > f; chown nobody:nogroup f; chmod 600 f"
SERVER = f"{PYTHON} -m http.server"
LOW_PORT = "sysctl -qw net.ipv4.ip_unprivileged_port_start="
OVERLAY = """
mkdir base; mount -t tmpfs none base; cd base; mkdir l u w ../m; touch l/f
mount -t overlay -o lowerdir=l,upperdir=u,workdir=w overlay ../m
"""

ROWS = [
    Row("true", ""),
    Row("id", ""),
    Row("ls -l /tmp", ""),
    Row("bash -c true;true", ""),
    Row("find /etc/apt", ""),
    Row("tar cf a.tar /etc/apt", ""),
    Row(
        f"{SERVER} 80",
        "NET_BIND_SERVICE",
        net=LOW_PORT + "1024",
        options=("--check", "curl -fs localhost"),
    ),
    Row(f"{SERVER} 80", "", net=LOW_PORT + "80", options=("--check", "curl -fs localhost")),
    Row("sh: mount -t tmpfs none m", "SYS_ADMIN", never="", setup="mkdir m", check="umount m"),
    Row(
        "ping -c1 127.0.0.1",
        "NET_RAW",
        never="SETPCAP SETUID SYS_ADMIN",
        net="sysctl -qw net.ipv4.ping_group_range='1 0'",
    ),
    Row("chown nobody f", "CHOWN", setup="touch f", check='test "$(stat -c %U f)" = nobody'),
    Row("chmod 644 f", "FOWNER", setup=FOREIGN, check='test "$(stat -c %a f)" = 644'),
    Row("mknod n c 1 3", "MKNOD", check="test -c n"),
    Row("unshare --uts sh -c true", "SYS_ADMIN", never=""),
    Row("chroot / true", "SYS_CHROOT"),
    Row("nice -n -5 true", "SYS_NICE"),
    Row("sh: date -s @$(date +%s)", "SYS_TIME"),
    Row("ip link add name a type veth peer name b", "NET_ADMIN", net="true"),
    Row(f"sh: ulimit -l 64; {PYTHON} {PROGRAMS}/lock_all.py", "IPC_LOCK"),
    Row("cat f", "DAC_OVERRIDE", setup=FOREIGN),
    Row("sh: echo y >> f", "DAC_OVERRIDE", setup=FOREIGN, check="grep -q y f"),
    Row(
        "setpriv --reuid 65534 --regid 65534 --clear-groups true",
        "SETGID SETUID",
        never="SETPCAP SYS_ADMIN",
    ),
    Row("su nobody -s /bin/sh -c id", "SETGID SETUID", never="SETPCAP SYS_ADMIN"),
    Row("ps aux", "", never="SYS_PTRACE SYS_ADMIN PERFMON"),
    Row("dmesg", "SYSLOG", setup="sysctl -qw kernel.dmesg_restrict=1"),
    Row(
        "install -o nobody -g nogroup -m 2755 f g",
        "CHOWN FOWNER FSETID",
        setup="echo x > f",
        check='test "$(stat -c %U:%a g)" = nobody:2755',
    ),
    Row(
        "install -o nobody -g nogroup -m 0755 f g",
        "CHOWN FOWNER",
        setup="echo x > f",
        check='test "$(stat -c %U:%a g)" = nobody:755',
    ),
    Row("cat /proc/sys/net/ipv4/ip_forward", "", never="NET_ADMIN SYS_ADMIN"),
    Row(f"{PYTHON} {PROGRAMS}/io_uring_setup.py", "", never="IPC_LOCK SYS_ADMIN"),
    Row("sh: ipcrm -m $(ipcmk -M 4096 | grep -o '[0-9]*$')", "", never="IPC_LOCK SYS_ADMIN"),
    Row(f"{PYTHON} {PROGRAMS}/memfd_write.py", ""),
    Row(
        "sh: (setsid sh -c 'sleep 1; chown nobody f') & exit 0",
        "CHOWN",
        setup="touch f",
        check='test "$(stat -c %U f)" = nobody',
    ),
    Row(
        f"{PYTHON} {PROGRAMS}/many_children.py 9000 f",
        "CHOWN",
        setup="touch f",
        check='test "$(stat -c %U f)" = nobody',
    ),
    # Mapping root needs SETFCAP, for which no check is made: true, though it looks odd.
    Row("unshare -Urm mount -t tmpfs none /mnt", "SETFCAP", never="SYS_ADMIN"),
    Row(
        "chown nobody m/f",
        "CHOWN",
        never="DAC_OVERRIDE DAC_READ_SEARCH SYS_ADMIN",
        setup=OVERLAY,
        check='test "$(stat -c %U m/f)" = nobody; umount m; umount base',
    ),
]


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
        *f"{SERVER} 81".replace(PYTHON, "/usr/bin/python3").split(),
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
    assert need["verdict"] == "used" or "io_uring" in need["uncertain"]


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
