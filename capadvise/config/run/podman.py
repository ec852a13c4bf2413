"""podman run: its flags. For a user other than root it makes what is added ambient, so that the
program has it."""

from capadvise.config.run import flags
from capadvise.config.snippet import Snippet


def render(snippet: Snippet) -> str:
    """The flags, with the reasons as comments before them."""
    return flags.render(snippet, ambient=True)
