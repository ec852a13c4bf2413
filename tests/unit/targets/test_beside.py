"""A recording beside what is up: what is taken gets another name, place or port."""

from __future__ import annotations

from typing import Any

import pytest

from capadvise.config.run.pflag import Option
from capadvise.model.errors import CannotObserve
from capadvise.targets.containers import beside, project

WEB: dict[str, Any] = {
    "build": {"context": "."},
    "container_name": "mine",
    "ports": [
        {"target": 80, "published": "8080", "protocol": "tcp", "host_ip": "127.0.0.1"},
        {"target": 90, "published": "9000-9010", "protocol": "tcp"},
    ],
    "volumes": [
        {"type": "volume", "source": "data", "target": "/d", "volume": {"nocopy": True}},
        {"type": "volume", "source": "new", "target": "/n"},
        {"type": "bind", "source": "/own", "target": "/o"},
        {"type": "bind", "source": "/conf", "target": "/c", "read_only": True},
    ],
    "networks": {"lan": {"ipv4_address": "10.0.0.5", "aliases": ["w"]}},
    "mac_address": "02:42:ac:11:00:02",
    "depends_on": {"db": {"condition": "service_started"}},
}
PROJECT: dict[str, Any] = {
    "name": "p",
    "services": {"web": WEB, "db": {"image": "d"}, "other": {"image": "o"}},
    "volumes": {"data": {"name": "p_data"}, "new": None},
    "networks": {"lan": {"name": "lan", "external": True, "ipam": {"config": [1]}}},
}


class Copies:
    """One volume is there."""

    def bind(self, source: str, _: str) -> str:
        return f"/copies{source}"

    def volume(self, name: str) -> str | None:
        return {"data": "/copies/data"}.get(name)


def _beside() -> dict[str, Any]:
    return beside.project(PROJECT, Copies(), lambda port, protocol: port + 1, built=True)


def test_names_data_addresses_and_ports_are_its_own() -> None:
    web = _beside()["services"]["web"]
    assert web == {
        "image": "p-web",
        "ports": [
            {"target": 80, "published": "8081", "protocol": "tcp", "host_ip": "127.0.0.1"},
            {"target": 90, "protocol": "tcp"},
        ],
        "volumes": [
            {"type": "bind", "source": "/copies/data", "target": "/d"},
            {"type": "volume", "source": "new", "target": "/n"},
            {"type": "bind", "source": "/copies/own", "target": "/o"},
            {"type": "bind", "source": "/conf", "target": "/c", "read_only": True},
        ],
        "networks": {"lan": {"aliases": ["w"]}},
        "depends_on": WEB["depends_on"],
    }


def test_volumes_that_are_not_there_yet_and_networks_are_fresh() -> None:
    """On the user's own network, a name of a service would stand for two."""
    made = _beside()
    assert (made["volumes"], made["networks"]) == ({"new": {}}, {"lan": {}})


def test_the_hosts_network_cannot_be_used_twice() -> None:
    host = {**PROJECT, "services": {"web": {**WEB, "network_mode": "host"}}}
    with pytest.raises(CannotObserve, match="web uses the host's network"):
        beside.project(host, Copies(), lambda port, protocol: port, built=True)


def test_only_what_is_started_has_copies() -> None:
    started = project.closure(PROJECT, ["web"])
    assert sorted(started) == ["db", "web"]
    assert set(project.only(PROJECT, ["db"])["volumes"]) == set()
    assert set(project.only(PROJECT, started)["volumes"]) == {"data", "new"}


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("8080:80", "8081:80"),
        ("127.0.0.1:8080:80/udp", "127.0.0.1:8081:80/udp"),
        ("[::1]:8080:80", "[::1]:8081:80"),
        ("80", "80"),
        ("8000-8010:80-90", "8000-8010:80-90"),
    ],
)
def test_published(given: str, made: str) -> None:
    options = beside.options([Option("publish", given)], lambda port, protocol: port + 1)
    assert options == (Option("publish", made),)


@pytest.mark.parametrize(
    ("script", "reaches"),
    [
        ("curl localhost:8080/x", "curl localhost:9000/x"),
        ("curl http://127.0.0.1:8080", "curl http://127.0.0.1:9000"),
        ("nc [::1]:8080", "nc [::1]:9000"),
        ("curl localhost:80801", "curl localhost:80801"),
        ("curl my-localhost.example:8080", "curl my-localhost.example:8080"),
        ("echo 8080", "echo 8080"),
    ],
)
def test_a_check_that_names_a_port(script: str, reaches: str) -> None:
    assert beside.check_of(script, {8080: 9000}) == f"export PORT_8080=9000\n{reaches}"


def test_what_is_not_there_yet_is_labelled() -> None:
    """What compose makes of networks is removed afterwards; those that are there are left alone."""
    networks = {"lan": {"name": "lan"}, "own": {"external": True}, "new": {"labels": {"a": "b"}}}
    given = {"name": "p", "networks": {**networks, "default": {"name": "p_default"}}}
    changed = project.with_labelled_networks(given, {"l": "1"}, ["lan", "p_default"])
    assert changed["networks"] == {
        **given["networks"],
        "new": {"labels": {"a": "b", "l": "1"}},
    }
