"""Pods, as a kubelet has them made on this machine: by containerd or CRI-O.

All of it may be imported. No socket is asked, and no client is needed. What a runtime was given to
make a container of, its bundle, lies beside the shim that keeps it; CRI-O's was tried on paper
alone.
"""
