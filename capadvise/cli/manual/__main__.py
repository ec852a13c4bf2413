"""``python -m capadvise.cli.manual``: make again all that is made of other files."""

from __future__ import annotations

from capadvise.catalog import compiled, default
from capadvise.cli.manual import FOLDER
from capadvise.cli.manual.generate import PAGES

facts = default().folder
(facts / compiled.FILE).write_text(compiled.dump(compiled.compiled(facts)), encoding="utf-8")
for name, make in PAGES.items():
    (FOLDER / name).write_text(make(), encoding="utf-8")
