"""What a test needs of the machine: where it is absent the test is skipped, and in CI it fails."""

from __future__ import annotations

import os
import shutil

import pytest

from capadvise.model.errors import CannotObserve
from capadvise.observe.ftrace.instances import require


def missing(reason: str) -> None:
    """Skip the test that runs; fail it where the tests of the kernel are required, and in CI."""
    if os.environ.get("CAPADVISE_REQUIRE_KERNEL") or os.environ.get("CI") == "true":
        pytest.fail(f"this must not be skipped here: {reason}")
    pytest.skip(reason)


def tool(name: str) -> str:
    """The path of a program that a test needs."""
    path = shutil.which(name)
    if path is None:
        missing(f"{name} is not installed")
    assert path is not None
    return path


def need_kernel(items: list[pytest.Item]) -> None:
    """Mark tests that trace this kernel; where it cannot be traced, skip them, or stop."""
    if not items:
        return
    try:
        require()
    except CannotObserve as error:
        reason = f"{error} ({error.hint})"
        if os.environ.get("CAPADVISE_REQUIRE_KERNEL"):
            pytest.exit(f"kernel tests are required here, but: {reason}", 1)
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))
    for item in items:
        item.add_marker(pytest.mark.kernel)
