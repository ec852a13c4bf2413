"""Each language answers every question, or says why not. A new one needs a file in
``tests/support/languages.py``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from capadvise.catalog import default
from capadvise.config import LANGUAGES, languages, recognise
from capadvise.config.declared import Declared
from capadvise.config.granted import granted
from capadvise.config.language import QUESTIONS, Language
from capadvise.model.caps import parse_set
from capadvise.model.errors import BadInput
from tests.support.languages import FILES, WRITTEN
from tests.support.recordings import snippet_with

CAPS = parse_set(["CHOWN", "NET_RAW"])


def read(language: Language) -> Declared:
    path, text, _ = FILES[language.name]
    (declared,) = language.read(text, path)
    return declared


def recognises(language: Language) -> None:
    path, text, _ = FILES[language.name]
    assert recognise(path, text) is language
    assert language.title
    assert path.endswith(language.endings)
    assert language.meant(path, text)
    if path.endswith(".json") and not language.names:
        assert any(f'"{key}"' in text for key in language.keys)


def reads(language: Language) -> None:
    assert parse_set(["SYS_ADMIN"]) <= granted(read(language), language.judged_by, default())


def exposes(language: Language) -> None:
    _, _, (_, exposure) = FILES[language.name]
    assert read(language).exposes(exposure)


def renders(language: Language) -> None:
    caps = CAPS - parse_set(["CHOWN"]) if language.name == "setcap" else CAPS  # it refuses that
    text = language.render(snippet_with(caps))
    assert "NET_RAW" in text.upper()
    assert text.endswith("\n")


def edits(language: Language) -> None:
    path, text, (service, _) = FILES[language.name]
    asked = None if language.service else service
    patched = language.patch(text, asked, snippet_with(CAPS)).text
    (declared,) = language.read(patched, path)
    assert granted(declared, language.judged_by, default()) == CAPS
    assert path.endswith(language.edited)
    assert language.devices or language.judged_by.on_host, "what becomes of privileged"


def is_consumed(language: Language) -> None:
    assert language.judged_by.title
    assert language.judged_by.parse(language.judged_by.spelled(min(CAPS))) == min(CAPS)


def has_lines(language: Language) -> None:
    pasted = language.pasted(CAPS)
    assert "CHOWN" in pasted
    assert "{short}" not in pasted
    assert "{full}" not in pasted
    assert "{json}" not in pasted


def can_be_asked(language: Language) -> None:
    assert language.command is not None
    assert language.command.title
    assert all(command for command in language.command.commands)


def names(language: Language) -> None:
    _, _, (service, _) = FILES[language.name]
    assert read(language).service == service


ANSWERS: dict[str, Callable[[Language], None]] = {
    "recognise": recognises,
    "read": reads,
    "expose": exposes,
    "render": renders,
    "edit": edits,
    "consumer": is_consumed,
    "lines": has_lines,
    "ask": can_be_asked,
    "name": names,
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("name", LANGUAGES)
def test_a_language_answers_or_says_why_not(name: str, question: str) -> None:
    language = LANGUAGES[name]
    if reason := language.cannot.get(question):
        assert len(reason.split()) > 4, "a sentence"
        with pytest.raises((AssertionError, BadInput, KeyError)):
            ANSWERS[question](language)
    else:
        ANSWERS[question](language)


def test_every_question_is_asked() -> None:
    assert tuple(ANSWERS) == QUESTIONS
    assert {question for each in LANGUAGES.values() for question in each.cannot} <= set(QUESTIONS)
    assert {*FILES} == {each.name for each in languages("read")}
    assert {*WRITTEN} >= {each.name for each in languages("edit")}


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_readme_names_it(name: str) -> None:
    assert f"`{name}`" in (Path(__file__).parents[3] / "README.md").read_text()


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_of_one_language(name: str) -> None:
    """What one claims no other takes for its own."""
    path, text, _ = FILES[name]
    for other in languages("recognise"):
        if other.name != name:
            assert not other.named(path)
    assert recognise(path, text) is LANGUAGES[name]
