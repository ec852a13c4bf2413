"""The risk that remains with exactly the chosen set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from capadvise.posture import Exposed, Posture, Root, Seccomp, Sharing
from tests.support.screens import BIND, CHOWN, HOSTNAME, NGINX, app_on, drive, press, report, shows

Session = Pilot[Any]


def test_the_most_dangerous_comes_first_and_sys_admin_is_taken_apart() -> None:
    app = app_on(report(BIND, CHOWN, HOSTNAME))

    async def script(pilot: Session) -> None:
        await press(pilot, "3")
        rows = [
            str(option.prompt).split() for option in app.query_one("#risk-caps", OptionList).options
        ]
        assert rows == [
            *(["SYS_ADMIN", "root"], ["CHOWN", "medium"], ["NET_BIND_SERVICE", "low"]),
            ["Where", "it", "ran"],
        ]
        assert shows(app, "#risk-sum").splitlines() == [
            "The worst that remains with the recommended set: root (SYS_ADMIN), as good as root on "
            "the host.",
            "root 1   medium 1   low 1   in a container that docker makes without further options",
        ]
        text = shows(app, "#risk-text").replace("\n  ", " ")
        assert "1 of its 70 uses were seen." in text
        assert "Seen 1×: host name" in text
        assert "• Instead: State it in the deployment" in text

    drive(app, script)


def test_what_changes_while_the_screen_is_hidden_is_there_when_it_is_shown_again() -> None:
    app = app_on(report(BIND, CHOWN))

    async def script(pilot: Session) -> None:
        await press(pilot, "3")
        assert shows(app, "#risk-text").startswith("Give files to any user or group.")
        await press(pilot, "1", "space", "3")
        assert shows(app, "#risk-text").startswith("Bind ")

    drive(app, script)


@pytest.mark.parametrize(
    ("mounted", "risk", "said"),
    [
        (
            (Exposed("host-folder", "/data", True, "/srv/data"),),
            "high",
            "! Make yourself the owner of a mounted host file",
        ),
        ((), "medium", "(man:chown(2)) But no system folder of the host is there for writing."),
    ],
)
def test_the_risk_is_that_of_the_place(mounted: tuple[Exposed, ...], risk: str, said: str) -> None:
    """A folder of the host that is mounted into the container decides on CHOWN."""
    root = Root("overlay", read_only=False, layers=2, host=False, exposed=mounted)
    posture = Posture(namespaces={"user": Sharing.HOST, "net": Sharing.OWN}, root=root)
    ran = replace(NGINX.target, kind="container")
    app = app_on(replace(report(CHOWN), posture=posture, target=ran))

    async def script(pilot: Session) -> None:
        await press(pilot, "3")
        row = app.query_one("#risk-caps", OptionList).options[0]
        assert str(row.prompt).split() == ["CHOWN", risk]
        assert "   where it ran" in shows(app, "#risk-sum")
        assert said in " ".join(shows(app, "#risk-text").split())

    drive(app, script)


def test_what_is_dropped_is_no_risk_any_more() -> None:
    app = app_on(NGINX)

    async def script(pilot: Session) -> None:
        await press(pilot, "space", "down", "space", "down", "space", "3")
        assert app.query_one("#risk-caps", OptionList).option_count == 1
        assert "no capability is left" in shows(app, "#risk-sum")
        assert "Mandatory access control" in shows(app, "#risk-text")

    drive(app, script)


def test_what_else_restrained_it_is_told() -> None:
    own = {"net": Sharing.OWN, "mnt": Sharing.OWN, "pid": Sharing.HOST}
    posture = Posture(namespaces=own, seccomp=Seccomp("filter", 1))
    app = app_on(replace(NGINX, posture=posture))

    async def script(pilot: Session) -> None:
        await press(pilot, "3", "end")
        text = shows(app, "#risk-text")
        assert "a seccomp filter decides before the kernel does" in text
        assert "• processes, the host's" in text

    drive(app, script)
