"""The chosen set in a configuration language. Apart from ``save``, whose modules that read and
change files are loaded when the user saves."""

from capadvise.catalog import Catalog
from capadvise.config.snippet import Snippet
from capadvise.config.snippet_from import snippet_of
from capadvise.model.errors import CapadviseError
from capadvise.model.escape import printable
from capadvise.report.pages import FORMATS
from capadvise.tui.choice import Choice

COPIED = "copied, where the terminal allows it (OSC 52)"


def chosen(choice: Choice, catalog: Catalog) -> Snippet:
    """The chosen set as a snippet for any format. Raises BadInput as ``snippet_of`` does."""
    return snippet_of(
        choice.report, choice.caps, catalog, set_name=choice.set_name, beside=choice.beside
    )


def rendered(choice: Choice, format_name: str, catalog: Catalog) -> str:
    """The chosen set in a configuration language, or a comment that says why there is none."""
    try:
        return FORMATS[format_name].render(chosen(choice, catalog))
    except CapadviseError as error:
        return f"# {printable(str(error))}\n"
