"""What it costs to merge the reports of a large workload: seconds of a processor.

``python -m tests.bench.fleet [REPLICAS]``
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from itertools import pairwise

from capadvise.model.caps import Cap
from capadvise.model.target import Target
from capadvise.report import fleet
from capadvise.report.dump import dump
from capadvise.report.load import loaded
from tests.support.recordings import BIND, CATALOG, CHOWN, report_of

CAPS = ("SETUID", "SETGID", "DAC_OVERRIDE", "FOWNER", "KILL", "SETPCAP", "FSETID", "NET_RAW")


def texts(replicas: int) -> list[str]:
    """As the observers send them: eighteen distinct checks each."""
    more = [
        replace(CHOWN, cap=Cap.parse(name), site=("ns_capable", f"f{number}"), pid=100 + number)
        for number, name in enumerate(CAPS * 2)
    ]
    found = []
    for number in range(replicas):
        target = Target("container", "web", ("nginx",), "/", "0:0", image="web:1")
        target = replace(target, container=f"{number:064}", pod=f"prod/web-{number}")
        own = [replace(one, pid=one.pid + number) for one in (BIND, CHOWN, *more)]
        found.append(json.dumps(dump(replace(report_of(*own), target=target), CATALOG)))
    return found


def main() -> None:
    """Print the times."""
    replicas = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    sent = texts(replicas)
    pods = {f"web-{number}": {"web": f"sha256:{'1' * 64}"} for number in range(replicas)}
    times = [time.process_time()]
    read = [loaded(json.loads(text), "report", CATALOG) for text in sent]
    times.append(time.process_time())
    (merged,) = fleet.merged(read, "Deployment/web", pods, pods.keys(), CATALOG)
    times.append(time.process_time())
    written = json.dumps(dump(merged.report, CATALOG), indent=1)
    times.append(time.process_time())
    seconds = [f"{after - before:.1f}" for before, after in pairwise(times)]
    print(f"{replicas} reports of {len(sent[0])} bytes: {fleet.coverage(merged.report)}")
    print(
        f"read {seconds[0]} s, merged {seconds[1]} s, dumped {seconds[2]} s: {len(written)} bytes"
    )


if __name__ == "__main__":
    main()
