"""``capadvise inspect``: what a process holds and what restrains it."""

import argparse
import json

from capadvise.catalog import default
from capadvise.kernel.posture.read import Machine
from capadvise.model.errors import BadInput, Exit
from capadvise.model.image import IMAGE, ImageInspection
from capadvise.model.posture import Inspection
from capadvise.report.inspection import (
    dump_image,
    dump_inspection,
    image_text,
    inspection_text,
    table,
)
from capadvise.targets.running.inspect import holders, inspect_image, inspect_target, with_filter


def command(args: argparse.Namespace) -> int:
    """Print what is known of each target; without one, a line for each process."""
    machine = Machine.read()
    if args.seccomp and (len(args.targets) != 1 or args.targets[0].startswith(IMAGE)):
        raise BadInput("--seccomp stops the process for a moment: name exactly one")
    inspections = [_looked_at(text, machine) for text in args.targets] or list(holders(machine))
    if args.seccomp and isinstance(inspections[0], Inspection):
        inspections = [with_filter(inspections[0], default())]
    if args.json:
        dumped = [
            dump_inspection(item) if isinstance(item, Inspection) else dump_image(item)
            for item in inspections
        ]
        print(json.dumps(dumped, indent=1))
    elif args.targets:
        print("\n\n".join("\n".join(_text(item)) for item in inspections))
    else:
        print(*table([i for i in inspections if isinstance(i, Inspection)], default()), sep="\n")
    return Exit.OK


def _looked_at(text: str, machine: Machine) -> Inspection | ImageInspection:
    name = text.removeprefix(IMAGE)
    return inspect_image(name) if name != text and name else inspect_target(text, machine)


def _text(item: Inspection | ImageInspection) -> list[str]:
    if isinstance(item, Inspection):
        return list(inspection_text(item, default()))
    return list(image_text(item))
