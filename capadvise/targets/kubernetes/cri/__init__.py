"""Pods as the container runtime of a kubelet keeps them on this machine: containerd or CRI-O.

All of it may be imported. No socket is asked, and no client is needed: a container's bundle, which
is its configuration for the runtime, lies beside the shim. The code for CRI-O was written from its
documentation alone.
"""
