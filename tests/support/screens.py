"""What the tests of the screens share: reports, a prover, and the screen as plain text."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from textual.app import App
from textual.pilot import Pilot

from capadvise.judgement.conclusion import PassedSet
from capadvise.judgement.decide import decide
from capadvise.judgement.differences import Observed
from capadvise.judgement.proven import Interrupted, Trial, TrialOutcome, conclude
from capadvise.judgement.report import Report
from capadvise.model.caps import Cap, CapSet, Credentials, parse_set
from capadvise.model.companion import Companion
from capadvise.model.errors import BadInput
from capadvise.model.posture import Posture
from capadvise.model.recording import Check
from capadvise.model.target import Target
from capadvise.model.workload import Workload
from capadvise.proof.plan import SearchTask, prove
from capadvise.tui.app import CapadviseApp
from capadvise.tui.choice import Choice
from capadvise.tui.main import Main
from capadvise.workflow.protocols import Over, Starting
from tests.support.recordings import CATALOG, FULL, HOST, check, recording

PATH = Path("/nowhere/nginx.json")
HOSTILE = "[bold red]x[/] \x1b[31m\x1b]0;owned\x07 \u202egnp.exe \udcff " + "A" * 4096


CHOWN = check(
    "CHOWN",
    "capable_wrt_inode_uidgid setattr_prepare ext4_setattr notify_change chown_common do_fchownat",
    "chown",
    detail="uid 33",
    count=5,
)
BIND = check("NET_BIND_SERVICE", "ns_capable __inet_bind __sys_bind", "bind", detail="tcp [::]:80")
SETUID = check(
    "SETUID", "ns_capable_setid __sys_setuid", "setuid", detail="uid 33", args=(("uid", 33),)
)
BRK = check("SYS_ADMIN", "security_vm_enough_memory_mm do_brk_flags __do_sys_brk", "brk", count=84)
HOSTNAME = check("SYS_ADMIN", "ns_capable __x64_sys_sethostname", "sethostname")


def report(*checks: Check, name: str = "nginx", argv: tuple[str, ...] = ("nginx",)) -> Report:
    """A report of a run that ended well."""
    ran = recording(
        *checks,
        host=replace(HOST, lsm=()),
        started="2026-11-25T04:00:00+00:00",
        seconds=0.1,
    )
    return Report(
        Target("command", name, argv, "/srv", "0:0"),
        Workload(),
        Posture({"net.ipv4.ip_unprivileged_port_start": "1024"}),
        (ran,),
        decide(ran, CATALOG),
    )


NGINX = report(CHOWN, BIND, SETUID, BRK)


@dataclass
class Prover:
    """Runs the real search on a workload that passes when it has ``needs``."""

    needs: CapSet = field(default_factory=lambda: parse_set(["CHOWN", "NET_BIND_SERVICE"]))
    stop_after: int | None = None
    stopped: bool = False
    why_not: str | None = None
    shown: tuple[str, ...] = ()
    """What the user has to see first."""
    check: str | None = None
    """What was given on the screen."""

    def obstacle(self, known: Report) -> str | None:
        return None if known.workload.check else self.why_not

    def order(self, known: Report) -> tuple[str, ...]:
        return self.shown

    def wants_check(self, known: Report) -> bool:
        return self.why_not == "no check" and known.workload.check is None

    def with_check(self, known: Report, check: str) -> Report:
        self.check = check
        return replace(known, workload=replace(known.workload, check=check))

    def prove(self, known: Report, starting: Starting, ended: Callable[[Trial], None]) -> Report:
        ran = 0

        def run_trial(caps: CapSet, beside: tuple[Companion, ...] = ()) -> TrialOutcome:
            nonlocal ran
            ran += 1
            if self.stop_after is not None and ran > self.stop_after:
                raise Interrupted
            starting(caps, ())
            return self.outcome(caps)

        first = run_trial(FULL)
        task = SearchTask(known.proposal, FULL, first, "command", CATALOG.removal_order)
        proven = prove(task, run_trial, say=ended)
        return replace(known, proposal=conclude(known.proposal, proven), proven=proven)

    def try_set(
        self,
        known: Report,
        chosen: PassedSet,
        starting: Starting,
        ended: Callable[[Trial], None],
    ) -> Report:
        caps = chosen.caps
        starting(caps, tuple(map(Companion.parse, chosen.beside)))
        if known.proven is None:
            raise BadInput("there is no run with everything")
        outcome = self.outcome(caps)
        lost = () if outcome.passed else (outcome.why,)
        trial = Trial(caps, outcome.passed, 0.5, differences=lost, instead=chosen.beside)
        ended(trial)
        return replace(known, proven=replace(known.proven, trials=(*known.proven.trials, trial)))

    def outcome(self, caps: CapSet) -> TrialOutcome:
        good = self.needs <= caps
        uid = 33 if Cap.parse("SETUID") in caps else 0
        return TrialOutcome(
            good,
            "" if good else "exited with 1",
            0.5,
            Observed(0 if good else 1, credentials=(Credentials("nginx", str(uid), str(uid)),)),
        )

    def stop(self) -> None:
        self.stopped = True


def app_on(known: Report, prover: Prover | None = None) -> CapadviseApp:
    """The review, on a report."""
    over = Over(known, PATH)
    return CapadviseApp(lambda: Main(CATALOG, overs=[over], prover=lambda _: prover))


def page(app: CapadviseApp) -> Main:
    """The screen, below what may lie over it."""
    return app.main


def kept_choice(app: CapadviseApp) -> Choice:
    """What is chosen."""
    assert app.main.choice is not None
    return app.main.choice


def kept_report(app: CapadviseApp) -> Report:
    """The newest report, with the proof where there is one."""
    assert app.main.choice is not None
    return app.main.choice.report


def proven(known: Report = NGINX) -> Report:
    """A report with its proof."""
    return Prover().prove(known, lambda *_: None, lambda _: None)


Script = Callable[[Pilot[Any]], Awaitable[None]]


def drive(app: App[Any], script: Script, size: tuple[int, int] = (160, 50)) -> None:
    """Run an app on a screen that nobody sees, and a script that uses it."""

    async def session() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await settle(pilot)
            await script(pilot)

    asyncio.run(session())


async def press(pilot: Pilot[Any], *keys: str) -> None:
    """Press keys, and wait until what they caused is drawn."""
    await pilot.press(*keys)
    await settle(pilot)


async def settle(pilot: Pilot[Any]) -> None:
    """Wait for threads, those that the end of one begins, messages and drawing."""
    workers = pilot.app.workers
    while True:
        await workers.wait_for_complete()
        await pilot.pause()
        await pilot.pause()
        if all(worker.is_finished for worker in workers):
            return


def screen_text(app: App[Any]) -> str:
    """The screen as plain text, without blanks at the ends of lines."""
    strips = app.screen._compositor.render_strips()  # Textual has no public way
    return "\n".join("".join(part.text for part in strip).rstrip() for strip in strips) + "\n"


def shows(app: CapadviseApp, selector: str) -> str:
    """The text of a widget that shows one."""
    return str(app.screen.query_one(selector).render())
