"""Where a service runs, as far as its file says so: what decides how far a capability reaches.

In the words of the catalog, so that the gate says what ``explain`` says. Pure.
"""

from __future__ import annotations

from capadvise.catalog.circumstances import Circumstance, Known
from capadvise.config.consumer import Consumer
from capadvise.config.declared import Declared, Exposure

_BY_EXPOSURE = {
    Circumstance.HOST_NETWORK: Exposure.HOST_NETWORK,
    Circumstance.HOST_PROCESSES: Exposure.HOST_PROCESSES,
    Circumstance.SHARED_PROCESSES: Exposure.SHARED_PROCESSES,
    Circumstance.HOST_IPC: Exposure.HOST_IPC,
    Circumstance.HOST_NAME: Exposure.HOST_NAME,
    Circumstance.HOST_FILES: Exposure.SYSTEM_FOLDER,
    Circumstance.ENGINE_SOCKET: Exposure.CONTROL_SOCKET,
    Circumstance.HOST_DEVICE: Exposure.DISK,
    Circumstance.UNFILTERED: Exposure.UNFILTERED,
    Circumstance.UNCONFINED: Exposure.UNCONFINED,
}
_FILTERS = (Circumstance.UNFILTERED, Circumstance.UNCONFINED)


def known(declared: Declared, consumer: Consumer) -> Known:
    """Each circumstance: it holds, it does not, or the file does not tell (left out)."""
    host_user = not declared.exposes(Exposure.OWN_USERS)
    if consumer.on_host:
        return {Circumstance.HOST_USER: host_user, Circumstance.HOST_PROCESSES: True}
    circumstances: dict[Circumstance, bool] = {Circumstance.HOST_USER: host_user}
    for circumstance, exposure in _BY_EXPOSURE.items():
        if declared.exposes(exposure):
            circumstances[circumstance] = True
        elif circumstance not in _FILTERS or consumer.filters:
            circumstances[circumstance] = False
    return circumstances
