"""``python -m capadvise.cli.manual``: make again all that is made of other files."""

from __future__ import annotations

from capadvise.catalog import compiled, compiling, default
from capadvise.cli.manual import FOLDER
from capadvise.cli.manual.generate import PAGES

facts = default().folder
(facts / compiled.FILE).write_text(compiling.dump(compiling.compiled(facts)), encoding="utf-8")
for name, make in PAGES.items():
    (FOLDER / name).write_text(make(), encoding="utf-8")
