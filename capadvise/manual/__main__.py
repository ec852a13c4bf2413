"""``python -m capadvise.manual``: make the pages again that are made of something."""

from __future__ import annotations

from capadvise.manual import FOLDER
from capadvise.manual.generate import PAGES

for name, make in PAGES.items():
    (FOLDER / name).write_text(make(), encoding="utf-8")
