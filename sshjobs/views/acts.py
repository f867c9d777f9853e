"""The messages when a person has changed something in a run that is under way."""

from __future__ import annotations

from sshjobs.views.base import Event
from sshjobs.views.wording import count

#: Up to how many names are listed one by one.
MAX_NAMES = 4
_HOSTS = {"added": "joined the run", "lost": "declared lost: what was launched there runs elsewhere",
           "drained": "drained: nothing more starts there", "undrained": "used again",
          "leaving": "leaves the run when nothing of it runs there", "removed": "left the run"}


def act_word(event: Event) -> str:
    """Return the word that begins the line of an event ``added``, ``withdrawn``, ``again``, ``pause`` or ``hosts``."""
    word: str = event["event"]
    return {"added": "add", "withdrawn": "gone"}.get(word, word)


def event_text(event: Event) -> str:
    """Return such an event in words."""
    match event["event"]:
        case "added":
            return f"{count(event['jobs'], 'job')}: {span(event['first'], event['last'], event['jobs'])}"
        case "withdrawn":
            return f"{count(event['jobs'], 'job')} taken out of the run"
        case "again":
            return f"{names(event['jobs'])} {'waits' if len(event['jobs']) == 1 else 'wait'} to be tried again"
        case "pause":
            who = "launching" if event["jobs"] is None else names(event["jobs"])
            return f"{who} {'paused' if event['paused'] else 'unpaused'} by a person"
        case _:
            what = f"{event['slots']} jobs at a time" if event["change"] == "slots" else _HOSTS[event["change"]]
            return f"{names(event['hosts'])}: {what}"


def span(first: str, last: str, number: int) -> str:
    """Return a range of names in short: ``job-4``, ``job-4, job-5`` or ``job-4 … job-6``."""
    return first if number == 1 else f"{first}, {last}" if number == 2 else f"{first} … {last}"


def names(all_names: list[str]) -> str:
    """Return names in one line; of many names only the first few."""
    more = len(all_names) - MAX_NAMES
    return ", ".join(all_names[:MAX_NAMES]) + (f" and {more:,} more" if more > 0 else "")
