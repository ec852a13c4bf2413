"""How long the gate takes on a compose file with 30 services, start-up included: medians, and how
often the mere start of the interpreter that is. Run it on a quiet machine: tests/bench/gate.py
"""

from __future__ import annotations

import compileall
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from capadvise.catalog import default  # noqa: E402
from capadvise.report.save import save  # noqa: E402
from tests.support.recordings import report  # noqa: E402

RUNS = 15
SERVICE = """\
  s{n}:
    image: example.org/app:{n}
    restart: unless-stopped
    environment: {{A: "1", B: two, C: three}}
    ports: ["80{n:02}:80"]
    volumes: [data{n}:/var/lib/app, ./conf:/etc/app:ro]
    cap_drop: [ALL]
    cap_add: [NET_BIND_SERVICE, NET_ADMIN, {cap}]
    healthcheck: {{test: ["CMD", "curl", "-fs", "localhost"], interval: 10s}}
"""


def medians(argv: list[str]) -> tuple[float, float]:
    """Seconds by the clock, and of the processor: the latter bears other load on the machine."""
    walls, works = [], []
    for _ in range(RUNS):
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(argv, capture_output=True, cwd="/")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(time.perf_counter() - start)
        works.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(walls), statistics.median(works)


def main() -> None:
    """Print a line for each way to call the gate."""
    compileall.compile_dir(ROOT / "capadvise", quiet=1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        caps = ("SYS_ADMIN", "CHOWN", "SYS_PTRACE")
        services = "".join(SERVICE.format(n=n, cap=caps[n % 3]) for n in range(30))
        (file := folder / "compose.yaml").write_text(f"services:\n{services}")
        (variable := folder / "variable.yaml").write_text(f"services:\n{services}    user: $U\n")
        (baseline := folder / "baseline").mkdir()
        for n in range(30):
            save(baseline / f"s{n}.json", report(name=f"s{n}"), default())
        check = [str(Path(sys.executable).with_name("capadvise")), "check"]
        python, work = medians([sys.executable, "-c", "pass"])
        print(f"{'python -c pass':42} {python * 1000:4.0f} ms, {work * 1000:4.0f} ms of processor")
        for what, argv in (
            ("check, 30 services", [str(file)]),
            ("check --format sarif", [str(file), "--format", "sarif"]),
            ("check --against 30 reports", [str(file), "--against", str(baseline)]),
            ("check, a variable: docker compose config", [str(variable)]),
        ):
            took, work = medians([*check, *argv])
            times = f"{took * 1000:4.0f} ms, {work * 1000:4.0f} ms of processor"
            print(f"{what:42} {times}, {took / python:4.1f} × python")


if __name__ == "__main__":
    main()
