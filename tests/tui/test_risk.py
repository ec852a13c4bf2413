"""The risk that remains with exactly the chosen set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from capadvise.model.posture import Exposed, Posture, Root, Seccomp, Sharing
from tests.support.screens import (
    BIND,
    CHOWN,
    HOSTNAME,
    NGINX,
    app_on,
    drive,
    page,
    press,
    report,
    shows,
)

Session = Pilot[Any]


def test_the_most_dangerous_comes_first_and_sys_admin_is_taken_apart() -> None:
    app = app_on(report(BIND, CHOWN, HOSTNAME))

    async def script(pilot: Session) -> None:
        await press(pilot, "4")
        rows = [
            str(option.prompt).split() for option in app.query_one("#risk-caps", OptionList).options
        ]
        assert rows == [
            ["✓", "SYS_ADMIN", "root-equivalent"],
            ["✓", "CHOWN", "medium"],
            ["✓", "NET_BIND_SERVICE", "low"],
            ["Where", "it", "ran"],
        ]
        said = " ".join(shows(app, "#risk-sum").split())
        assert said.startswith("The recommended set: the worst risk is root-equivalent (SYS_ADMIN)")
        assert said.endswith("Judged in a container with docker's default options.")
        text = " ".join(shows(app, "#risk-text").split())
        assert "1 of its 70 uses was seen." in text
        assert "Seen 1×: host name" in text
        assert "• Instead: State it in the deployment" in text

    drive(app, script)


def test_space_strikes_the_attacks_that_go_with_a_capability_and_says_what_breaks() -> None:
    app = app_on(report(BIND, CHOWN))

    async def script(pilot: Session) -> None:
        await press(pilot, "4", "space")
        assert str(app.query_one("#risk-caps", OptionList).options[0].prompt).startswith("− CHOWN")
        text = " ".join(shows(app, "#risk-text").split())
        assert "− Without it: changing a file's owner or group" in text
        assert "What an attacker can no longer do − If a system folder" in text
        assert "medium before your changes" in shows(app, "#risk-sum")
        assert "41 → 1 · root-equivalent → low" in shows(app, "#board")

    drive(app, script)


@pytest.mark.parametrize(
    ("mounted", "risk", "said"),
    [
        (
            (Exposed("host-folder", "/data", True, "/srv/data"),),
            "high",
            "! Make yourself the owner of a mounted host file",
        ),
        ((), "medium", "(man:chown(2)) But no system folder of the host is mounted writable."),
    ],
)
def test_the_risk_is_that_of_the_place(mounted: tuple[Exposed, ...], risk: str, said: str) -> None:
    """A folder of the host that is mounted into the container decides on CHOWN."""
    root = Root("overlay", read_only=False, layers=2, host=False, exposed=mounted)
    posture = Posture(namespaces={"user": Sharing.HOST, "net": Sharing.OWN}, root=root)
    ran = replace(NGINX.target, kind="container")
    app = app_on(replace(report(CHOWN), posture=posture, target=ran))

    async def script(pilot: Session) -> None:
        await press(pilot, "4")
        row = app.query_one("#risk-caps", OptionList).options[0]
        assert str(row.prompt).split() == ["✓", "CHOWN", risk]
        assert "Judged where it ran." in shows(app, "#risk-sum")
        assert said in " ".join(shows(app, "#risk-text").split())

    drive(app, script)


def test_what_is_dropped_is_no_risk_any_more() -> None:
    app = app_on(NGINX)

    async def script(pilot: Session) -> None:
        await press(pilot, "space", "down", "space", "down", "space", "4")
        assert "no risk from capabilities is left" in shows(app, "#risk-sum")
        assert "41 → 0 · root-equivalent → none" in shows(app, "#board")

    drive(app, script)


def test_review_and_risk_say_the_same_of_each_capability() -> None:
    """A folder of the host that is mounted makes CHOWN worse than it usually is."""
    mounted = (Exposed("host-folder", "/data", True, "/srv/data"),)
    root = Root("overlay", read_only=False, layers=2, host=False, exposed=mounted)
    posture = Posture(namespaces={"user": Sharing.HOST, "net": Sharing.OWN}, root=root)
    ran = replace(NGINX.target, kind="container")
    app = app_on(replace(report(CHOWN, BIND, HOSTNAME), posture=posture, target=ran))

    async def script(pilot: Session) -> None:
        def risks(rows: OptionList) -> dict[str, str]:
            prompts = [str(option.prompt).split() for option in rows.options]
            return {words[-2]: words[-1] for words in prompts if words[0] == "✓"}

        listed = {}
        for option in page(app).review.caps.options:
            words = str(option.prompt).split()
            if words[0] == "✓":
                listed[words[2]] = words[3]
        await press(pilot, "4")
        assert risks(app.query_one("#risk-caps", OptionList)) == listed
        assert listed["CHOWN"] == "high"

    drive(app, script)


def test_what_else_restrained_it_is_told() -> None:
    own = {"net": Sharing.OWN, "mnt": Sharing.OWN, "pid": Sharing.HOST}
    posture = Posture(namespaces=own, seccomp=Seccomp("filter", 1))
    app = app_on(replace(NGINX, posture=posture))

    async def script(pilot: Session) -> None:
        await press(pilot, "4", "end")
        text = shows(app, "#risk-text")
        assert "a seccomp filter decides before the kernel does" in text
        assert "• processes, the host's" in text

    drive(app, script)
