"""The words that the user probably meant, for those that the command line does not know; an empty
hint: nothing is near. Only errors load this."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

from capadvise.report.lines import listed


def unknown_words(parser: argparse.ArgumentParser, words: Sequence[str]) -> tuple[str, str]:
    """Error and hint for words that a subcommand does not take."""
    name = _name(parser)
    option = next((word.partition("=")[0] for word in words if word[:1] == "-" != word), None)
    if option is None:
        return f"{name} has no use for {' '.join(map(repr, words))}", ""
    message = f"{name} has no option {option}"
    if others := list(_having(option, but=name)):
        has = "have" if len(others) > 1 else "has"
        names = listed([_name(other) for other in others])
        return message, f"{names} {has} {option}: {others[0].usage or others[0].prog}"
    near = nearest(option, (each for each in _options(parser) if each.startswith("--")))
    return message, f"did you mean {near}?" if near else ""


def misspelt(parser: argparse.ArgumentParser, words: Iterable[str]) -> tuple[str, str] | None:
    """Error and hint for the first option that a subcommand does not have, if there is one."""
    known = tuple(_options(parser))
    for word in words:
        if word == "--":
            return None
        option = word.partition("=")[0]
        if option.startswith("--") and not any(each.startswith(option) for each in known):
            return unknown_words(parser, [word])
    return None


def unknown_value(
    parser: argparse.ArgumentParser, action: argparse.Action, value: str
) -> tuple[str, str]:
    """Error and hint for a value that is none of those to choose from; a command is one, too."""
    choices = [str(choice) for choice in action.choices or ()]
    near = nearest(value, choices)
    if isinstance(action, argparse._SubParsersAction):
        message = f"{_name(parser)} has no command {value!r}"
        return message, f"did you mean {parser.prog} {near}?" if near else ""
    what = next(reversed(action.option_strings), str(action.metavar or action.dest))
    message = f"{what}: {value!r} is none of {', '.join(choices)}"
    meant = f"{what} {near}" if action.option_strings else near
    return message, f"did you mean {meant}?" if near else ""


def _name(parser: argparse.ArgumentParser) -> str:
    """``kubernetes record``; ``capadvise`` itself."""
    return parser.prog.removeprefix("capadvise ")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one that was probably meant."""
    return next(iter(get_close_matches(word, list(known), 1)), None)


def _options(parser: argparse.ArgumentParser) -> list[str]:
    actions = (each for each in parser._actions if each.help is not argparse.SUPPRESS)
    return [option for action in actions for option in action.option_strings]


def _having(option: str, *, but: str) -> Iterator[argparse.ArgumentParser]:
    """The other commands that have an option of exactly this name."""
    from capadvise.cli.parser import build_parser, subcommands

    pending = [build_parser()]
    for parser in pending:
        pending += [child for _, _, child in subcommands(parser)]
        if parser.prog != "capadvise" and _name(parser) != but and option in _options(parser):
            yield parser
