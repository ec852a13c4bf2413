"""Command lines that start containers, recognized as the clients read them."""

from __future__ import annotations

import shlex

import pytest

from capadvise.targets.client.invocation import (
    Invocation,
    builds,
    existing,
    recognize,
    starts_otherwise,
)


def _seen(text: str) -> Invocation:
    found = recognize(shlex.split(text))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("command", "engine", "verb", "rest", "again"),
    [
        (
            "docker run -itp80:80 -v /a:/b --name x nginx -g 'daemon off;'",
            *("docker", "run", ("nginx", "-g", "daemon off;")),
            "docker run --interactive --tty --publish=80:80 --volume=/a:/b --name=x nginx -g "
            "'daemon off;'",
        ),
        (
            "/usr/bin/docker -H unix:///x --context c container run --rm=false -dP --cap-add ALL i",
            *("docker", "run", ("i",)),
            "/usr/bin/docker --host=unix:///x --context=c run --rm=false --detach --publish-all "
            "--cap-add=ALL i",
        ),
        (
            "podman --runtime runc run --env A -- alpine --privileged",
            *("podman", "run", ("alpine", "--privileged")),
            "podman --runtime=runc run --env=A alpine --privileged",
        ),
        (
            "docker compose -f a.yml -p p up web -d db --timeout 3",
            *("docker", "compose up", ("web", "db")),
            "docker compose --file=a.yml --project-name=p up --detach --timeout=3 web db",
        ),
        (
            "docker-compose run -T --rm web ls -l",
            *("docker", "compose run", ("web", "ls", "-l")),
            "docker-compose run --no-TTY --rm web ls -l",
        ),
        (
            "podman-compose -f a.yml --podman-args '--runtime runc' -p p up web -d -t 3",
            *("podman", "compose up", ("web",)),
            "podman-compose --file=a.yml '--podman-args=--runtime runc' --project-name=p up "
            "--detach --timeout=3 web",
        ),
        (
            "podman-compose --in-pod 0 run -T --rm web ls -l",
            *("podman", "compose run", ("web", "ls", "-l")),
            "podman-compose --in-pod=0 run -T --rm web ls -l",
        ),
    ],
)
def test_what_starts_containers_is_recognized_and_means_the_same_when_written_again(
    command: str, engine: str, verb: str, rest: tuple[str, ...], again: str
) -> None:
    seen = _seen(command)
    assert (seen.engine, seen.verb, seen.rest) == (engine, verb, rest)
    assert shlex.join(seen.argv()) == again
    assert _seen(again) == seen


@pytest.mark.parametrize(
    "command",
    [
        *("docker ps", "docker run", "docker run --rm", "docker run --help x", "docker compose ps"),
        *("docker compose up --no-start", "docker compose run", "nginx run x", "docker exec x ls"),
    ],
)
def test_other_commands_are_commands(command: str) -> None:
    assert recognize(shlex.split(command)) is None


@pytest.mark.parametrize(
    ("command", "client"),
    [
        ("sudo -E -u ann podman run --rm x true", "sudo -E -u ann podman"),
        ("env A=b timeout 60 docker -D run --rm x true", "env A=b timeout 60 docker --debug"),
        ("runuser -u ann -- podman run --rm x true", "runuser -u ann -- podman"),
    ],
)
def test_what_stands_before_a_client_stays_before_all_its_calls(command: str, client: str) -> None:
    found = _seen(command)
    assert shlex.join(found.client) == client
    assert shlex.join(found.argv()) == f"{client} run --rm x true"


@pytest.mark.parametrize(
    ("options", "client"),
    [
        ("", ("podman",)),
        ("--podman-path /opt/podman", ("/opt/podman",)),
        ('--podman-args "it\'s"', ("podman",)),
        ("--podman-args '--runtime runc' --podman-args=-r", ("podman", "--runtime", "runc", "-r")),
    ],
)
def test_podman_is_asked_as_podman_compose_calls_it(options: str, client: tuple[str, ...]) -> None:
    assert _seen(f"podman-compose {options} up").client == client


@pytest.mark.parametrize(
    ("command", "detached"),
    [
        ("docker run -d web", True),
        ("docker run --detach=false web", False),
        ("docker compose up -d", True),
        ("docker compose up --wait", True),
        ("docker compose up", False),
    ],
)
def test_a_client_that_ends_at_once(command: str, *, detached: bool) -> None:
    assert _seen(command).detached is detached


def test_compose_behind_sudo_is_called_so() -> None:
    found = _seen("sudo A=1 docker compose -f a.yaml up web")
    assert shlex.join(found.argv()) == "sudo A=1 docker compose --file=a.yaml up web"
    for command in ("sudo nginx", "echo docker run x", "env"):
        assert recognize(shlex.split(command)) is None, command


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("podman kube play pod.yaml", "podman kube play"),
        ("podman --log-level info pod start web", "podman pod start"),
        ("kubectl -n prod apply -f web.yaml", "kubectl apply"),
        ("kubectl run web --image web", "kubectl run"),
        ("helm upgrade --install web ./chart", "helm upgrade"),
        ("podman --log-level=debug start web", "podman start"),
        ("docker container start web", "docker start"),
        ("docker stack deploy -c x.yaml shop", "docker stack deploy"),
        ("podman-compose -f x.yaml start", "podman-compose start"),
        ("podman compose up", "podman compose"),
        ("/usr/local/bin/nerdctl --namespace k8s.io run nginx", "nerdctl run"),
        ("kubectl -n prod rollout restart deployment/web", "kubectl rollout restart"),
        ("kubectl exec web -- chown 1 x", "kubectl exec"),
        ("ctr -n k8s.io run --rm docker.io/library/nginx:latest web", "ctr run"),
        ("ctr tasks start web", "ctr tasks start"),
        ("crictl runp pod.json", "crictl runp"),
        ("incus launch images:debian/13 web", "incus launch"),
        ("lxc start web", "lxc start"),
        ("docker ps", None),
        ("kubectl rollout status deployment/web", None),
        ("ctr tasks ls", None),
        ("incus list", None),
        ("podman kube down pod.yaml", None),
        ("kubectl create -f web.yaml", "kubectl create"),
        ("kubectl create -n prod deployment web --image web", "kubectl create"),
        ("kubectl create configmap web --from-literal a=b", None),
        ("kubectl -n prod create -n prod secret generic run", None),
        ("kubectl --namespace run get pods", None),
        ("kubectl auth can-i create pods", None),
        ("helm -n install list", None),
        ("nginx start", None),
    ],
)
def test_what_starts_containers_in_another_way(command: str, what: str | None) -> None:
    found = starts_otherwise(shlex.split(command))
    assert (found and found[0]) == what
    assert found is None or "capadvise " in found[1]


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("docker build -t x .", "docker build"),
        ("docker -H unix:///x buildx build .", "docker buildx build"),
        ("docker buildx bake", "docker buildx bake"),
        ("docker compose -f a.yaml build web", "docker compose build"),
        ("/usr/bin/docker-compose --project-name x build", "docker-compose build"),
        ("/usr/libexec/docker/cli-plugins/docker-compose compose -f a.yaml build", None),
        ("docker image build .", "docker image build"),
        ("nerdctl build .", "nerdctl build"),
        ("podman build .", None),
        ("docker run build", None),
        ("docker image ls", None),
        ("docker compose", None),
        ("make build", None),
    ],
)
def test_what_has_a_daemon_build(command: str, what: str | None) -> None:
    assert builds(shlex.split(command)) == what


@pytest.mark.parametrize(
    ("command", "what", "instead"),
    [
        ("docker start x", "docker start", "docker run"),
        ("docker -H a container exec x ls", "docker exec", "docker run"),
        ("podman create i", "podman create", "podman run"),
        ("docker compose -f a.yaml restart", "docker compose restart", "docker compose up"),
        ("docker-compose create", "docker-compose create", "docker-compose up"),
        ("docker compose up --no-start", "docker compose up --no-start", "docker compose up"),
        ("docker compose watch", "docker compose watch", "docker compose up"),
    ],
)
def test_what_is_done_with_existing_containers_is_told_from_the_rest(
    command: str, what: str, instead: str
) -> None:
    assert existing(shlex.split(command)) == (what, instead)


def test_other_commands_do_nothing_with_existing_containers() -> None:
    for command in ("docker ps", "nginx start", "docker compose ps", "docker", "docker-compose"):
        assert existing(shlex.split(command)) is None, command


@pytest.mark.parametrize(
    ("command", "image", "rootfs", "rest"),
    [
        ("podman run --rm --rootfs /d:O /bin/true", None, "/d:O", ("/d:O", "/bin/true")),
        ("podman run --rootfs=false i true", "i", None, ("i", "true")),
        ("docker run --rm i /d", "i", None, ("i", "/d")),
        ("docker compose run --dry-run web ls", None, None, ("web", "ls")),
    ],
)
def test_a_folder_can_stand_where_an_image_does(
    command: str, image: str | None, rootfs: str | None, rest: tuple[str, ...]
) -> None:
    seen = _seen(command)
    assert (seen.image, seen.rootfs, seen.rest) == (image, rootfs, rest)
