"""Kubernetes: the containers of pods.

All of it may be imported.
"""

from capadvise.config.consumer import Consumer, Prefix, Winner
from capadvise.config.language import ConsumerCommand, Language

KUBERNETES = Language(
    "kubernetes",
    "capadvise.config.kubernetes.file",
    title="a Kubernetes manifest",
    consumer=Consumer(
        "containerd",
        "containerd",
        Prefix.MUST_NOT,
        any_case=True,
        refuses=False,
        winner=Winner.DROP,
        bounds_only=True,
        filters=False,
        pod_security=True,
        free_ports="containerd 2 needs no NET_BIND_SERVICE in a pod's own network; where an "
        "older one or CRI-O runs the pod, add it.",
        no_gain="allowPrivilegeEscalation: false",
        own_users="Set hostUsers: false in the pod's spec",
    ),
    command=ConsumerCommand(
        "kubectl",
        (("kubectl", "label", "--local", "-o", "json", "-f", "-", "capadvise=x"),),
        own_form=True,
    ),
    file_name="security-context.yaml",
    endings=(".yaml", ".yml", ".json", "Kustomization"),
    edited=(".yaml", ".yml"),
    keys=("kind", "apiVersion", "items"),
    files="capadvise.config.kubernetes.files",
    pods=True,
    engine="containerd",
    lines="securityContext:\n  capabilities: {drop: [ALL], add: [{short}]}",
    filter_note="Kubernetes applies it where seccompProfile is RuntimeDefault",
    devices="a device plugin (Kubernetes has no other way without privileged)",
)
