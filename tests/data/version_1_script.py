"""What somebody wrote against version 1 of the report's JSON, in the words of that time. It is run
on what ``--json=1`` prints, and must go on working until December 2027."""

import json
import sys

report = json.load(sys.stdin)
if report["schema"] != "capadvise.report/1":
    sys.exit(f"unknown schema {report['schema']}")
used = [need["cap"] for need in report["needs"] if need["verdict"] in ("required", "used")]
noise = [need["cap"] for need in report["needs"] if need["verdict"] == "advisory"]
optional = [need["cap"] for need in report["needs"] if need["verdict"] == "tolerated"]
hints = [need["instead"] for need in report["needs"] if need["instead"]]
fixed = [one["program"] for run in report["recordings"] for one in run["own_sets"]]
floor = report["proposal"]["floor"]
proof = report["proof"]
print(" ".join(used), "|", " ".join(noise), "|", " ".join(optional))
print(len(hints), " ".join(fixed))
print("none" if floor is None else " ".join(floor))
print("none" if proof is None else (proof["floor"] and proof["floor"]["minimal"]))
