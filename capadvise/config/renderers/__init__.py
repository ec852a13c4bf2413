"""Outputs without a file to read: commands.

All of it may be imported.
"""

from capadvise.config.language import QUESTIONS, Language


def _rendered(name: str, why: str, *, for_command: bool = False) -> Language:
    module, cannot = f"capadvise.config.renderers.{name}", dict.fromkeys(set(QUESTIONS), why)
    del cannot["render"]
    return Language(name, module, for_command=for_command, cannot=cannot)


SETCAP = _rendered("setcap", "it is a command, which no file holds", for_command=True)
SETPRIV = _rendered("setpriv", "it is a command, which no file holds", for_command=True)
