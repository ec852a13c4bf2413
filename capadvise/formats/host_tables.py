"""Which places of a host give power over it: tables of paths, after the file hierarchy of Linux and
the defaults of container engines."""

from __future__ import annotations

SOCKET = (
    r"(?:.*[/\\])?(?:(?:docker|podman|containerd|crio|cri-?dockerd|dockershim|buildkitd"
    r"|balena-engine)[\w.-]*\.sock[\w.]*|(?:lxd|incus)/unix\.socket|libvirt-sock|kubelet\.sock"
    r"|snapd\.socket|/run/systemd/private|(?:docker|podman)_engine)"
)
"""Sockets (and pipes of Windows) over which an engine or the machine is controlled."""
SOCKET_FOLDER = (
    r"(?:/var)?/run(?:/(?:docker|podman|containerd|crio|buildkit|libvirt|dockershim|cri-dockerd"
    r"|balena-engine|lxd|incus|systemd|k3s|k3s/containerd|docker/containerd"
    r"|user(?:/\d+(?:/(?:docker|podman|containerd\S*))?)?))?"
    r"|/var/lib/(?:lxd|incus)|/var/snap/lxd/common/lxd"
)
"""Folders in which these usually lie."""
BUS = r"(?:/var)?/run/dbus(?:/system_bus_socket)?"
SYSTEM = (
    *("/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/opt", "/root", "/sbin", "/usr"),
    *("/dev", "/proc", "/sys", "/home", "/run", "/var", "/var/run", "/var/lib", "/var/spool"),
    *("/etc/ld.so.cache", "/etc/ssl"),
)
"""Folders that are programs, settings or secrets of the host as a whole."""
_ETC = (
    *("NetworkManager", "anacrontab", "apt", "bash.bashrc", "cni", "containerd", "containers"),
    *("cron.d", "cron.daily", "cron.hourly", "cron.monthly", "cron.weekly", "crontab", "crio"),
    *("dbus-1", "default", "docker", "environment", "fstab", "group", "gshadow", "init.d"),
    *("kubernetes", "ld.so.conf", "ld.so.conf.d", "ld.so.preload", "modprobe.d"),
    *("modules-load.d", "nsswitch.conf", "pam.d", "passwd", "polkit-1", "profile", "profile.d"),
    *("rancher", "rc.local", "security", "shadow", "ssh", "ssl/private", "sudoers", "sudoers.d"),
    *("sysctl.conf", "sysctl.d", "systemd", "tmpfiles.d", "udev"),
)
TREES = (
    *("/bin", "/boot", "/lib", "/lib32", "/lib64", "/opt/cni", "/sbin", "/usr"),
    *(f"/etc/{name}" for name in _ETC),
    *("/var/lib/containerd", "/var/lib/containers", "/var/lib/docker", "/var/lib/etcd"),
    *("/var/lib/kubelet", "/var/lib/rancher", "/var/spool/cron"),
    *("/proc", "/sys", "/run/systemd"),
)
"""The same with all that lies in them."""
HOME = (
    r"(?:/root|/home/[^/]+)(?:/\.(?:ssh|gnupg|aws|azure|kube|docker|netrc|bashrc|bash_profile"
    r"|profile|zshrc|config|config/(?:systemd|autostart|gcloud)|local/bin)(?:/.*)?)?"
)
"""Somebody's home, and what in it is a secret or is run by a login."""
PUBLIC = (
    *("/bin", "/lib", "/lib32", "/lib64", "/opt", "/sbin", "/usr"),
    *("/etc/bash.bashrc", "/etc/group", "/etc/init.d", "/etc/ld.so.cache", "/etc/ld.so.conf"),
    *("/etc/ld.so.conf.d", "/etc/modprobe.d", "/etc/nsswitch.conf", "/etc/passwd"),
    *("/etc/profile", "/etc/profile.d", "/etc/sysctl.conf", "/etc/sysctl.d", "/etc/udev"),
)
"""What anybody may read."""
KERNEL = ("/proc", "/sys")
DISK = (
    r"/dev(?:/(?:mem|kmem|port|(?:mapper|disk|block|bsg|cpu|zvol|drbd|mtd)(?:/.*)?"
    r"|(?:sd|hd|vd|xvd)[a-z]+\d*|nvme\d+(?:n\d+(?:p\d+)?)?|mmcblk\d+\w*|root|snapshot|zfs"
    r"|(?:dm-|md|loop|sg|nbd|rbd|zd|mtd|mtdblock|pmem|drbd|bcache|ublkb|ram)\d+(?:p\d+)?"
    r"|loop-control|btrfs-control))?"
)
"""Disks as a whole or in parts, the memory, and what gives either."""
DISK_MAJORS = ("21", "90", "202")
"""Character devices that give a disk or the processor: SCSI and MTD as such, model-specific
registers."""
MEMORY_MINORS = ("1", "2", "4")
"""Of major 1: /dev/mem, /dev/kmem, /dev/port."""
