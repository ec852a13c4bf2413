"""What the parts of a posture mean, for people who have never thought about them."""

from __future__ import annotations

SHARED = {
    "user": "root inside is root of the host: only capabilities, seccomp and the MAC system "
    "stand between",
    "mnt": "it sees the host's own mounts, and changes them with SYS_ADMIN",
    "pid": "it sees every process of the host, and reaches them with KILL and SYS_PTRACE",
    "net": "the host's interfaces, ports and abstract sockets are its own: NET_ADMIN changes "
    "the host's network, NET_RAW listens to it",
    "ipc": "shared memory and message queues of all programs of the host are in reach",
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
    "engine-socket": "the socket of a container engine: whoever may write to it is root of the "
    "host",
    "host-root": "the whole file system of the host",
    "host-folder": "a folder of the host that holds more than one service's data",
    "devices": "the devices of the host",
    "device": "a device of the host",
    "proc": "kernel settings of the host, for writing",
    "sys": "devices and kernel settings of the host, for writing",
    "debugfs": "the kernel's debugging files",
    "tracefs": "the kernel's tracing files",
}
SANDBOX = {
    "gvisor": "gVisor: the kernel that answers is a program of the sandbox; what is said here is "
    "what that kernel says",
    "kata": "Kata Containers: it runs in a virtual machine; what is said here is true of the guest",
}
MAC_NAMES = {"apparmor": "AppArmor", "selinux": "SELinux", "smack": "Smack"}
