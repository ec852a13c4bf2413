"""What the parts of a posture mean, for people who have never thought about them."""

from __future__ import annotations

SHARED = {
    "user": "root inside is root on the host: only capabilities, seccomp and the MAC system "
    "limit it",
    "mnt": "it sees the host's mounts, and can change them with SYS_ADMIN",
    "pid": "it sees every process of the host, and can control them with KILL and SYS_PTRACE",
    "net": "it uses the host's interfaces, ports and abstract sockets: NET_ADMIN changes the "
    "host's network, NET_RAW sniffs it",
    "ipc": "it reaches shared memory and message queues of the host's programs",
    "uts": "with SYS_ADMIN it can rename the host",
    "cgroup": "it sees the paths of the host's whole cgroup tree",
    "time": "its clocks are the host's, as in nearly every container",
}
"""What it means that a namespace is the host's own."""
PLAIN = {
    "user": "users",
    "mnt": "mounts",
    "pid": "processes",
    "net": "network",
    "ipc": "IPC",
    "uts": "host name",
    "cgroup": "cgroups",
    "time": "clock offsets",
}
EXPOSED = {
    "engine-socket": "the socket of a container engine: whoever can connect to it is root on "
    "the host",
    "host-root": "the whole file system of the host",
    "no-idmap": "a volume without idmapped mounts: in a user namespace its files belong to nobody",
    "host-folder": "a folder of the host that holds more than one service's data",
    "devices": "the devices of the host",
    "device": "a device of the host",
    "proc": "kernel settings of the host, writable",
    "sys": "devices and kernel settings of the host, writable",
    "debugfs": "the kernel's debugging files",
    "tracefs": "the kernel's tracing files",
}
SANDBOX = {
    "gvisor": "gVisor: its kernel is a program of the sandbox, and this is what that kernel "
    "reports",
    "kata": "Kata Containers: it runs in a virtual machine, and this describes the guest",
}
MAC_NAMES = {"apparmor": "AppArmor", "selinux": "SELinux", "smack": "Smack"}
