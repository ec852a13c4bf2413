"""What the parts of a posture mean, for people who have never thought about them."""

from __future__ import annotations

SHARED = {
    "user": "root inside is root of the machine: only capabilities, seccomp and the MAC system "
    "stand between",
    "mnt": "it sees the machine's own mounts, and changes them with SYS_ADMIN",
    "pid": "it sees every process of the machine, and reaches them with KILL and SYS_PTRACE",
    "net": "the machine's interfaces, ports and abstract sockets are its own: NET_ADMIN changes "
    "the machine's network, NET_RAW listens to it",
    "ipc": "shared memory and message queues of all programs of the machine are in reach",
    "uts": "with SYS_ADMIN it can rename the machine",
    "cgroup": "it sees the paths of the machine's whole cgroup tree",
    "time": "its clocks are the machine's, as in nearly every container",
}
"""What it means that a namespace is the machine's own."""
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
    "machine",
    "host-root": "the whole file system of the machine",
    "host-folder": "a folder of the machine that holds more than one service's data",
    "devices": "the devices of the machine",
    "device": "a device of the machine",
    "proc": "kernel settings of the machine, for writing",
    "sys": "devices and kernel settings of the machine, for writing",
    "debugfs": "the kernel's debugging files",
    "tracefs": "the kernel's tracing files",
}
SANDBOX = {
    "gvisor": "gVisor: the kernel that answers is a program of the sandbox; what is said here is "
    "what that kernel says",
    "kata": "Kata Containers: it runs in a virtual machine; what is said here is true of the guest",
}
MAC_NAMES = {"apparmor": "AppArmor", "selinux": "SELinux", "smack": "Smack"}
