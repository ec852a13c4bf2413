"""What the tests reached, by room: ``python -m tests.support.rooms FILE``, of ``coverage json``."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path, PurePath

LEAST = 80


def room_of(path: str) -> str:
    """``capadvise/observe/retry/tracer.py`` → ``observe/retry``."""
    return "/".join(PurePath(path).parts[1:-1][:2]) or "capadvise"


def table(report: dict[str, dict[str, dict[str, dict[str, int]]]]) -> list[str]:
    """A line for each room, and those files of it that are reached least."""
    rooms: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for path, file in report["files"].items():
        summary = file["summary"]
        rooms[room_of(path)].append((summary["covered_lines"], summary["num_statements"], path))
    lines = []
    for room, files in sorted(rooms.items()):
        covered, total = (sum(file[column] for file in files) for column in (0, 1))
        if not total:
            continue
        percent = 100 * covered / total
        lines.append(f"{percent:4.0f} %  {total:5}  {room}")
        if percent < LEAST:
            least = sorted(files, key=lambda file: file[0] - file[1])[:4]
            lines += [f"               {path}: {c} of {n}" for c, n, path in least]
    covered, total = (sum(file[c] for files in rooms.values() for file in files) for c in (0, 1))
    return [*lines, f"{100 * covered / total:4.0f} %  {total:5}  everything"]


if __name__ == "__main__":
    print(*table(json.loads(Path(sys.argv[1]).read_text())), sep="\n")
