"""docker run: its flags, on one line that can be pasted."""

from capadvise.config.run import flags
from capadvise.config.snippet import Snippet


def render(snippet: Snippet) -> str:
    """The flags, with the reasons as comments before them."""
    return flags.render(snippet, ambient=False)
