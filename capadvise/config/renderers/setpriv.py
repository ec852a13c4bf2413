"""setpriv (util-linux): the target's own command with exactly the set."""

from capadvise.config import shell
from capadvise.config.snippet import Snippet, comment
from capadvise.model.errors import BadInput


def render(snippet: Snippet) -> str:
    """One command, to be run as root. Raises BadInput for what another program starts."""
    if snippet.by_manager:
        raise BadInput(
            f"setpriv would restrict {shell.join(snippet.argv[:1])}, not what that starts",
            hint="--format docker, podman, compose or systemd restricts a container or a unit",
        )
    added = "".join(f",+{cap.short.lower()}" for cap, _ in snippet.caps)
    # libcap-ng's spelling: lower case without prefix, and ``cap_55`` where there is no name.
    # Root gets what is bounding; others keep what is inheritable and ambient.
    words = ["setpriv", f"--bounding-set=-all{added}"]
    if snippet.root:
        words += ["--inh-caps=-all"]
    else:
        user, group = snippet.ids
        words += [f"--reuid={user}", f"--regid={group or user}", "--clear-groups"]
        words += [f"--inh-caps=-all{added}", f"--ambient-caps=-all{added}"]
    if snippet.no_new_privileges:
        words.append("--no-new-privs")
    reasons = [comment(f"{cap.short}: {reason}") for cap, reason in snippet.caps]
    command = shell.join((*words, "--", *(snippet.argv or (snippet.name,))))
    note = () if snippet.root else ("--init-groups also sets the user's other groups",)
    return "".join((snippet.comments(more=note), *reasons, command, "\n"))
