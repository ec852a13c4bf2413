"""Where containers begin: events of two runtimes at once, in the order in which a kernel gave
them."""

from __future__ import annotations

from dataclasses import replace

from capadvise.kernel import syscalls
from capadvise.observe.tracking.tasks import Task
from capadvise.targets.containers.container_starts import ContainerStarts, healthcheck_command
from capadvise.targets.shims import container_id

NOWHERE = 4_194_304
"""Above every pid: /proc tells nothing of these."""
NEWNS, NEWNET = 0x00020000, 0x40000000


class Tree:
    """Threads as the tracker keeps them."""

    def __init__(self) -> None:
        self.starts = ContainerStarts()
        self.tasks = {0: Task("dockerd", syscalls.Ids(0, 0, 0), syscalls.Ids(0, 0, 0))}
        self.time = 0

    def fork(self, parent: int, child: int) -> None:
        self.tasks[child] = replace(self.tasks[parent])

    def exec(self, pid: int, path: str) -> None:
        self.time += 1
        task = self.tasks[pid]
        if task.scope is None:
            self.starts.executed(self.time, NOWHERE + pid, task, path)

    def call(self, pid: int, name: str, *values: int) -> None:
        self.starts.called(NOWHERE + pid, self.tasks[pid], name, values)

    def create(self, shim: int, program: str) -> int:
        """What a shim and runc do for a new container; the pid of its first process."""
        runc, init, child, first = shim + 1, shim + 2, shim + 3, shim + 4
        self.fork(0, shim)
        self.exec(shim, "/usr/bin/containerd-shim-runc-v2")
        for parent, pid, path in ((shim, runc, "/usr/sbin/runc"), (runc, init, "/proc/self/exe")):
            self.fork(parent, pid)
            self.exec(pid, path)
        self.fork(init, child)
        self.fork(child, first)
        self.call(first, "setns", 7, NEWNET)
        self.call(first, "pivot_root", 0, 0)
        self.fork(first, shim + 5)
        self.exec(shim + 5, "/opt/hook")  # of the runtime, below the new root
        self.exec(first, program)
        return first

    def number(self, pid: int) -> int | None:
        scope = self.tasks[pid].scope
        return None if scope is None else scope.number


def test_two_containers_that_start_at_once_are_told_apart() -> None:
    tree = Tree()
    for shim in (10, 20):
        tree.fork(0, shim)
        tree.exec(shim, "/usr/bin/containerd-shim-runc-v2")
    first = tree.create(100, "/bin/a")
    second = tree.create(200, "/bin/b")
    tree.fork(first, 301)
    tree.exec(301, "/bin/c")
    assert tree.number(first) == tree.number(301)
    assert tree.number(second) not in (None, tree.number(first))
    runtime = [0, 10, *range(100, 104), 105, *range(200, 204), 205]
    assert {tree.number(pid) for pid in runtime} == {None}


def test_a_command_inside_belongs_to_the_container_of_its_shim() -> None:
    tree = Tree()
    first, other = tree.create(100, "/bin/a"), tree.create(200, "/bin/b")
    tree.fork(100, 300)
    tree.exec(300, "/usr/sbin/runc")
    tree.fork(300, 301)
    tree.call(301, "setns", 5, NEWNET)
    tree.call(301, "setns", 6, NEWNS)
    tree.fork(301, 302)
    assert tree.number(302) is None  # still runc
    tree.exec(302, "/bin/inside")
    assert tree.number(302) == tree.number(first) != tree.number(other)


def test_docker_init_is_not_counted_but_what_it_starts() -> None:
    tree = Tree()
    first = tree.create(100, "/sbin/docker-init")
    assert tree.number(first) is None
    tree.fork(first, 300)
    tree.exec(300, "/bin/a")
    assert tree.number(300) == 1
    (place,) = tree.starts.places.values()
    assert place.scope is not None
    assert place.scope.root == NOWHERE + first


def test_the_user_namespace_is_that_of_the_first_process() -> None:
    tree = Tree()
    tree.tasks[0].namespace = 1
    first = tree.create(100, "/bin/a")
    scope = tree.tasks[first].scope
    assert scope is not None
    assert scope.namespace == 1


def test_command_lines_name_the_container() -> None:
    shim = ["containerd-shim-runc-v2", "-namespace", "moby", "-id", "abc", "-address", "/x"]
    assert container_id(shim) == "abc"
    conmon = ["conmon", "--api-version", "1", "-c", "abc", "-u", "abc", "-r", "runc"]
    assert container_id(conmon) == "abc"
    assert container_id(["runc"]) is None
    assert healthcheck_command(("CMD-SHELL", "x y")) == ("/bin/sh", "-c", "x y")
    assert healthcheck_command(("CMD", "x", "y")) == ("x", "y")
    assert healthcheck_command(()) == ()
