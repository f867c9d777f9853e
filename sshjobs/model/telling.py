"""What people want to be told of a run, and how: by commands on the manager's machine, or by messages.

Pure data. A notice is one thing that one recipient is told; its id shows when one comes twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from sshjobs.errors import UsageError
from sshjobs.model.fill import filled, names_in

#: What can be told, each with the key that names its recipients.
EVENTS = {"done": "on_done", "failure": "on_failure", "host_lost": "on_host_lost"}
#: All these keys, for jobfiles and settings.
KEYS = (*EVENTS.values(), "notify", "notify_text")
#: The placeholders that a text may hold, such as ``${{ run }}``.
FIELDS = ("id", "event", "run", "directory", "state", "message", "job", "jobs", "count", "host", "reason", "done",
          "failed", "total")
#: At most so many commands and addresses of one key, each of at most so many characters.
MOST, LONGEST = 20, 10_000
#: Jobs that a notice names.
MOST_NAMES = 100

_ADDRESS = r"[a-zA-Z][a-zA-Z0-9+.-]*://\S+"


class Recipient(NamedTuple):
    """Who is told: a command, or an address.

    :ivar key: the key that names it
    :ivar line: a line of shell, which gets the fields in its environment
    :ivar argv: a program and its arguments, with placeholders; instead of a line
    :ivar address: a URL as apprise takes it; instead of both
    :ivar text: of a message, with placeholders
    """

    key: str
    line: str = ""
    argv: tuple[str, ...] = ()
    address: str = ""
    text: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the recipient as plain data."""
        return {"key": self.key, "line": self.line, "argv": list(self.argv), "address": self.address, "text": self.text}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipient:
        """Return what :meth:`as_dict` described.

        :raises UsageError: it describes none
        """
        try:
            key, line, argv, address, text = (data[name] for name in ("key", "line", "argv", "address", "text"))
        except (KeyError, TypeError):
            raise UsageError("this describes nobody who is told") from None
        if not all(isinstance(one, str) for one in (key, line, address, text, *argv)) or not (line or argv or address):
            raise UsageError("this describes nobody who is told")
        return cls(key, line, tuple(argv), address, text)

    def shown(self) -> str:
        """Return the recipient in a few words. Of an address, which may hold a password, only the kind is shown."""
        if self.address:
            return f"{self.key} {self.address.partition(':')[0]}"
        return f"{self.key}: {self.line or ' '.join(self.argv)}"[:80].splitlines()[0]


class Notice(NamedTuple):
    """One thing that one recipient is to be told, at least once.

    :ivar id: the same for every try
    :ivar about: the content, by :data:`FIELDS`; texts and numbers
    :ivar made: when it was made, seconds since the epoch
    :ivar tries: how often delivery was tried
    :ivar delivered: when it was delivered, ``None`` before
    :ivar error: why the newest try failed
    """

    id: str
    event: str
    recipient: Recipient
    about: Mapping[str, Any]
    made: float
    tries: int = 0
    delivered: float | None = None
    error: str | None = None

    def tried(self, error: str | None, now: float) -> Notice:
        """Return the notice after one more try."""
        return self._replace(tries=self.tries + 1, error=error, delivered=now if error is None else None)

    def fields(self) -> dict[str, str]:
        """Return the content as texts."""
        told = {"id": self.id, "event": self.event, **self.about}
        return {**dict.fromkeys(FIELDS, ""), **{name: _as_text(value) for name, value in told.items()}}

    def words(self) -> list[str]:
        """Return the program that delivers it, and its arguments."""
        if self.recipient.line:
            return ["/bin/sh", "-c", self.recipient.line]
        return [str(word) for word in filled(list(self.recipient.argv), self.fields())]

    def text(self) -> str:
        """Return the message."""
        return str(filled(self.recipient.text or "${{ message }}", self.fields()))


class Telling(NamedTuple):
    """Who is told what of a run.

    :ivar recipients: recipients by what they are told
    """

    recipients: Mapping[str, tuple[Recipient, ...]] = MappingProxyType({})

    def __bool__(self) -> bool:
        return any(self.recipients.values())

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, for the store."""
        return {event: [one.as_dict() for one in told] for event, told in self.recipients.items() if told}

    @classmethod
    def from_dict(cls, data: Any) -> Telling:
        """Return what :meth:`as_dict` described; for anything that is no mapping, without recipients.

        :raises UsageError: it is no such description
        """
        if not isinstance(data, Mapping):
            return cls()
        return cls({event: tuple(Recipient.from_dict(one) for one in data[event]) for event in EVENTS if event in data})

    def and_also(self, other: Telling) -> Telling:
        """Return the recipients of both; one that is in both is told once."""
        return Telling({event: tuple(dict.fromkeys((*self.recipients.get(event, ()), *other.recipients.get(event, ()))))
                        for event in EVENTS})

    @property
    def needs_apprise(self) -> bool:
        """Whether any recipient is an address, which needs apprise."""
        return any(one.address for told in self.recipients.values() for one in told)


def _as_text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "\n".join(map(str, value))
    return "" if value is None else str(value)


def telling_of(given: Mapping[str, Any]) -> Telling:
    """Return the recipients that keys of a jobfile, or settings, name; other keys are ignored.

    :raises UsageError: a value is not allowed
    """
    text = given.get("notify_text") or ""
    _check_text("notify_text", text)
    addresses = [Recipient("notify", address=one, text=text) for one in _list("notify", given.get("notify"))]
    for one in addresses:
        if not re.fullmatch(_ADDRESS, one.address):
            raise UsageError(f"notify cannot be {one.address!r:.60}", hint="write a URL of apprise: mailto://user:password@host")
    return Telling({event: (*_commands(key, given.get(key)), *addresses) for event, key in EVENTS.items()})


def _commands(key: str, value: Any) -> list[Recipient]:
    """Parse commands: a text is a line of shell; a list of texts is a program and its arguments; a list of such lists
    and texts is several commands."""
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        _check_text(key, value)
        return [Recipient(key, argv=tuple(value))]
    found = []
    for one in [] if value is None else value if isinstance(value, list) else [value]:
        if isinstance(one, str) and one.strip():
            if len(one) > LONGEST or "\0" in one:
                raise UsageError(f"{key} is too long, or holds a NUL byte")
            found.append(Recipient(key, line=one))
        elif isinstance(one, list) and one and all(isinstance(word, str) for word in one):
            _check_text(key, one)
            found.append(Recipient(key, argv=tuple(one)))
        else:
            raise UsageError(f"{key} must be a line of shell, or a list of a program and its arguments")
    if len(found) > MOST:
        raise UsageError(f"{key} has {len(found):,} commands", hint=f"at most {MOST} can be told")
    return found


def _list(key: str, value: Any) -> list[str]:
    items = [] if value is None else value if isinstance(value, list) else [value]
    if len(items) > MOST or not all(isinstance(one, str) and len(one) <= LONGEST for one in items):
        raise UsageError(f"{key} must be a text or up to {MOST} texts")
    return items


def _check_text(key: str, value: Any) -> None:
    """Check that all placeholders of a text are known.

    :raises UsageError: one is not
    """
    if not isinstance(value, (str, list)) or len(str(value)) > LONGEST or "\0" in str(value):
        raise UsageError(f"{key} must be a text of at most {LONGEST:,} characters")
    try:
        names = names_in(value)
    except UsageError as error:
        raise UsageError(f"{key}: {error.what}", hint=error.hint) from None
    for name in names:
        if name not in FIELDS:
            raise UsageError(f"{key}: nothing is called '{name:.60}'", hint=f"there are {', '.join(FIELDS)}")
