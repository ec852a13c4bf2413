"""The proposal as JSON: small, without the evidence that the report holds."""

import json

from capadvise.config.snippet import Snippet
from capadvise.report.dump import as_json
from capadvise.report.pages.sheet import kept_in

SCHEMA = "capadvise.proposal/1"


def render(snippet: Snippet) -> str:
    """The set in the spelling of containers, and what is known of each member."""
    proposal = {
        "schema": SCHEMA,
        "name": snippet.name,
        "user": snippet.user,
        "set": snippet.set_name,
        "cap_drop": ["ALL"],
        "cap_add": [cap.short for cap, _ in snippet.caps],
        "no_new_privileges": snippet.no_new_privileges,
        "needs": as_json(kept_in(snippet)),
        "notes": [*snippet.cautions, *snippet.notes],
    }
    return json.dumps(proposal, indent=2) + "\n"
