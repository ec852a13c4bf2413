"""Files that keep ``capadvise watch`` running: a unit for a machine, a DaemonSet for a cluster,
each with its minimal set (tests start it with just these capabilities)."""

from __future__ import annotations

CAPS = ("BPF", "PERFMON", "SYSLOG", "AUDIT_READ", "SYS_PTRACE")
"""To load its programs, to let them read what the kernel keeps, to name the kernel's functions; to
receive audit records; and to see which file a descriptor of another process stands for."""

_UNIT = f"""\
# /etc/systemd/system/capadvise-watch.service
[Unit]
Description=What is refused on this machine, and whether a capability is the cure

[Service]
ExecStart=/usr/local/bin/capadvise watch --quiet
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
# {", ".join(CAPS[:3])}: without them it does not start.
# {CAPS[3]}: refusals by AppArmor and SELinux. {CAPS[4]}: the file behind a descriptor.
CapabilityBoundingSet={" ".join(f"CAP_{name}" for name in CAPS)}
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
RestrictAddressFamilies=AF_UNIX AF_NETLINK
RestrictNamespaces=yes
MemoryMax=128M

[Install]
WantedBy=multi-user.target
"""
_DAEMON_SET = f"""\
# One pod on each node; its log has a JSON object for each new finding.
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: capadvise-watch
spec:
  selector:
    matchLabels: {{app: capadvise-watch}}
  template:
    metadata:
      labels: {{app: capadvise-watch}}
    spec:
      hostNetwork: true # the kernel sends audit records to the node's own network namespace only
      hostPID: true # the kernel names processes as the node numbers them
      automountServiceAccountToken: false
      tolerations:
        - operator: Exists
      containers:
        - name: watch
          image: capadvise # made by demos/image/Containerfile
          args: [watch, --quiet, --json]
          securityContext:
            privileged: false
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            runAsUser: 0
            capabilities:
              drop: [ALL]
              add: [{", ".join(CAPS)}]
          resources:
            limits: {{memory: 128Mi}}
            requests: {{cpu: 10m, memory: 64Mi}}
"""
FILES = {"systemd": _UNIT, "kubernetes": _DAEMON_SET}
"""Format → the file."""
