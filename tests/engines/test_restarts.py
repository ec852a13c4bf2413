"""Databases as their images start them: the minimal set survives restarts on a named
volume, and a volume that somebody else has made."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import images
from tests.support.containers import CLIENTS, MARK, call, loaded, record, trials_of
from tests.support.required import tool

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("databases")]

REDIS_ENTRYPOINT = """\
#!/bin/sh
set -e
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    find . ! -user redis -exec chown redis '{}' +
    exec setpriv --reuid=redis --regid=redis --clear-groups "$0" "$@"
fi
umask 0077
exec "$@"
"""
POSTGRES_ENTRYPOINT = """\
#!/bin/bash
set -eu
export PGDATA=/var/lib/postgresql/data
user=$(id -u)
mkdir -p "$PGDATA"
chmod 00700 "$PGDATA" || :
mkdir -p /var/run/postgresql || :
chmod 03775 /var/run/postgresql || :
if [ "$user" = 0 ]; then
    find "$PGDATA" ! -user postgres -exec chown postgres '{}' +
    find /var/run/postgresql ! -user postgres -exec chown postgres '{}' +
    exec gosu postgres "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --no-sync --username=postgres --auth=trust >/dev/null
fi
exec "$@"
"""
MARIADB_ENTRYPOINT = """\
#!/bin/bash
set -eu
data=/var/lib/mysql
mkdir -p "$data" /run/mysqld
if [ "$(id -u)" = 0 ]; then
    find "$data" /run/mysqld ! -user mysql -exec chown mysql: '{}' +
    exec gosu mysql "$0" "$@"
fi
if [ ! -d "$data/mysql" ]; then
    mariadb-install-db --datadir="$data" --skip-test-db --auth-root-authentication-method=normal \\
        >/dev/null
fi
exec "$@"
"""
USERS = "root:x:0:0::/root:/bin/sh\nredis:x:999:999::/data:/bin/sh\n"
USERS += "postgres:x:998:998::/var/lib/postgresql:/bin/sh\nmysql:x:997:997::/nonexistent:/bin/sh\n"
GROUPS = "root:x:0:\nredis:x:999:\npostgres:x:998:\nmysql:x:997:\n"


@dataclass(frozen=True)
class Database:
    """An image, and how to use it."""

    name: str
    entrypoint: str
    command: tuple[str, ...]
    place: str
    write: str
    """A command inside that leaves something."""
    read: str
    """A command inside that prints it: ``kept``."""

    @property
    def image(self) -> str:
        return f"{MARK}-{self.name}-restarts:1"


DATABASES = (
    Database(
        "redis",
        REDIS_ENTRYPOINT,
        ("redis-server", "--appendonly", "yes", "--save", ""),
        "/data",
        "redis-cli set key kept",
        "redis-cli get key",
    ),
    Database(
        "postgres",
        POSTGRES_ENTRYPOINT,
        ("postgres", "-c", "fsync=of"),
        "/var/lib/postgresql/data",
        "psql -qU postgres -c 'create table if not exists k (v text); insert into k values (1)'",
        "psql -qtAU postgres -c \"select distinct 'kept' from k\"",
    ),
    Database(
        "mariadb",
        MARIADB_ENTRYPOINT,
        ("mariadbd",),
        "/var/lib/mysql",
        "mariadb -uroot -e 'create database if not exists kept'",
        "mariadb -uroot -Nse \"show databases like 'kept'\"",
    ),
)
POSTGRES = max((path.name for path in Path("/usr/lib/postgresql").glob("*")), default="17")
PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
PACKAGES = {
    "redis": ("redis-server", "redis-tools"),
    "postgres": (
        f"postgresql-{POSTGRES}",
        f"postgresql-client-{POSTGRES}",
        "postgresql-common",
        "tzdata",
    ),
    "mariadb": (
        "mariadb-server",
        "mariadb-server-core",
        "mariadb-client",
        "mariadb-client-core",
        "mariadb-common",
        "mysql-common",
    ),
}


@pytest.fixture(scope="module")
def databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Images of those that are tried, each with the entrypoint that its published image has."""
    tool("gosu")
    made = []
    tried = {item.name for item in request.session.items}
    for one in DATABASES:
        if not any(name.endswith(f"[{one.name}]") for name in tried):
            continue
        tar = tmp_path_factory.mktemp(one.name) / "image.tar"
        base = (
            "coreutils",
            "findutils",
            "dash",
            "bash",
            "util-linux",
            "gosu",
            "grep",
            "sed",
            "gawk",
            "hostname",
        )
        files = {
            "etc/passwd": USERS,
            "etc/group": GROUPS,
            "usr/local/bin/entrypoint": one.entrypoint,
        }
        images.debian(tar, (*base, *PACKAGES[one.name]), files)
        words = ", ".join(f'"{word}"' for word in one.command)
        path = f"ENV PATH={PLACES}:/usr/lib/postgresql/{POSTGRES}/bin"
        changes = (path, 'ENTRYPOINT ["/usr/local/bin/entrypoint"]', f"CMD [{words}]")
        changes += (f"WORKDIR {one.place}",)
        image = loaded([CLIENTS["docker"]], tar, {one.image: changes})
        next(image)
        made.append(image)
    yield
    for image in made:
        next(image, None)


def docker(*words: str, check: bool = True) -> str:
    done = call("docker", *words)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


def answers(container: str, command: str, seconds: float = 40) -> str:
    """What a command inside prints, as soon as it succeeds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done = call("docker", "exec", container, "/bin/bash", "-c", command)
        if done.returncode == 0:
            return done.stdout.strip()
        time.sleep(0.3)
    raise AssertionError(f"{done.stderr}\n{call('docker', 'logs', container).stderr[-2000:]}")


def starts(database: Database, volume: str, caps: list[str]) -> None:
    """Start a container with these capabilities alone, write, and restart it three times."""
    name = f"{MARK}-{database.name}-held"
    flags = [f"--cap-add={cap}" for cap in caps]
    docker(
        *("run", "--detach", "--name", name, "--network=none", "--cap-drop=ALL", *flags),
        *("--volume", f"{volume}:{database.place}", database.image),
    )
    try:
        answers(name, database.write)
        for _ in range(3):
            docker("restart", name)
            assert answers(name, database.read).splitlines()[-1] == "kept"
    finally:
        docker("rm", "--force", "--volumes", name)


@pytest.mark.parametrize(
    "database",
    [
        pytest.param(one, marks=[] if one.name == "redis" else pytest.mark.long, id=one.name)
        for one in DATABASES
    ],
)
def test_the_minimal_set_survives_restarts_and_a_volume_of_another_user(
    database: Database, tmp_path: Path
) -> None:
    recorded, fresh, foreign = (f"{MARK}-{database.name}-{n}" for n in ("seen", "fresh", "foreign"))
    check = f"docker exec \"$CONTAINER\" /bin/bash -c '{database.write.replace(chr(39), chr(34))}'"
    if database.name == "postgres":
        check = (
            'docker exec "$CONTAINER" psql -qU postgres -c "create table if not exists k (v text)"'
        )
    try:
        docker("volume", "create", foreign)
        place = docker("volume", "inspect", "--format", "{{.Mountpoint}}", foreign)
        subprocess.run(["chown", "1234:1234", place], check=True)
        words = ("docker", "run", "--rm", "--network=none", "-v", f"{recorded}:{database.place}")
        seen = record(
            tmp_path / "report.json", *words, database.image, options=("--prove", "--check", check)
        )
        assert seen.minimal is not None, seen.stderr
        for volume in (fresh, foreign):
            starts(database, volume, sorted(seen.minimal))
    finally:
        for volume in (recorded, fresh, foreign):
            docker("volume", "rm", "--force", volume, check=False)
    assert not trials_of(database.image)
