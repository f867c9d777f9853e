"""Files that are sent to a job: files and directories of this machine, and files that other jobs of its run left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from sshjobs.model import outputs

#: What may be said of something that is sent: as text it is the path alone.
Item = str | dict[str, Any]


class Sent(NamedTuple):
    """A file or directory of this machine.

    :ivar path: relative to the directory of the jobfile
    :ivar to: where it is placed in the job's directory; with ``/`` at its end, the directory that it is placed in
    :ivar exclude: patterns of what in the directory is left out
    :ivar readonly: it is placed by link and not by copy, and its mode refuses writing
    """

    path: str
    to: str | None = None
    exclude: tuple[str, ...] = ()
    readonly: bool = False

    @property
    def place(self) -> str | None:
        """Where it lands in the job's directory: by default under its own relative path, or its last name where that is
        absolute or leads out. ``None``: it has no name to land under."""
        pure = PurePath(self.path)
        own = pure.name if pure.name not in ("", "..") else None
        if self.to is not None:
            if not self.to.endswith("/"):
                return self.to
            return None if own is None else self.to.removeprefix("./") + own
        return own if pure.is_absolute() or ".." in pure.parts else str(pure)


class Taken(NamedTuple):
    """Files that jobs of another entry have left.

    :ivar entry: its name; the jobs are those that ``after`` selects
    :ivar path: a pattern of what was brought of these
    :ivar to: where it is placed, as with :class:`Sent`
    """

    entry: str
    path: str
    to: str | None = None

    def place(self, path: str, job: str | None) -> str:
        """Return where a file lands that was brought.

        :param path: as it was brought
        :param job: the name of its job, where there are several
        """
        names, literal = path.split("/"), 0
        for part in [part for part in self.path.split("/") if part]:
            if any(sign in part for sign in "*?["):
                break
            literal += 1
        if self.to is None:
            below = path
        elif self.to.endswith("/"):
            # As cp does it: under the last name that is written out, or under what the pattern stands for.
            whole = literal == len([part for part in self.path.split("/") if part])
            below = "/".join(names[literal - whole:])
        else:
            below = "/".join(names[literal:])
        inside = [part for part in (self.to or "").split("/") if part not in ("", ".")]
        return "/".join([*inside, *([] if job is None else [job]), *([below] if below else [])])


def sent(files: Iterable[Item]) -> list[Sent]:
    """Return what of the value of the key ``files`` is on this machine."""
    return [Sent(one) if isinstance(one, str) else
            Sent(one["path"], one.get("to"), tuple(one.get("exclude", ())), one.get("readonly", False))
            for one in files if isinstance(one, str) or "from" not in one]


def taken(files: Iterable[Item]) -> list[Taken]:
    """Return what of the value of the key ``files`` other jobs have left."""
    return [Taken(one["from"], one["path"], one.get("to")) for one in files if isinstance(one, dict) and "from" in one]


def item(said: Any) -> Item:
    """Return one item of the key ``files`` as a spec holds it.

    :raises ValueError: it cannot be that; the text says what is wrong, to stand behind the name of the item
    """
    if isinstance(said, str):
        if not said.strip():
            raise ValueError(" cannot be empty; leave the key out")
        return said
    if not isinstance(said, Mapping):
        raise ValueError(f" must be a path or a mapping, got {said!r:.40}; write {{path: data, to: in/}}")
    keys = ("from", "path", "to") if "from" in said else ("path", "to", "exclude", "readonly")
    for key in said:
        if key not in keys:
            raise ValueError(f" has no {key!r:.40}; it takes {', '.join(keys)}")
    found = {key: said[key] for key in keys if said.get(key) is not None}
    for key in ("path", "from", "to"):
        if key in found and (not isinstance(found[key], str) or not found[key].strip()):
            raise ValueError(f": {key} must be text, got {found[key]!r:.40}; quote it")
    if "path" not in found:
        raise ValueError(" needs a path; write {path: data, to: in/}")
    if "from" in found and (wrong := outputs.complaint(found["path"])) is not None:
        raise ValueError(f": {wrong}")
    if "to" in found and found["to"] != "./" and (wrong := outputs.complaint(found["to"])) is not None:
        raise ValueError(f": to: {wrong}")
    if "exclude" in found:
        found["exclude"] = _patterns(found["exclude"])
    if not isinstance(found.get("readonly", False), bool):
        raise ValueError(f": readonly cannot be {found['readonly']!r:.40}; use true or false")
    return found


def _patterns(said: Any) -> list[str]:
    patterns = [said] if isinstance(said, str) else list(said) if isinstance(said, (list, tuple)) else None
    if patterns is None or not all(isinstance(one, str) and one.strip() for one in patterns):
        raise ValueError(f": exclude must be a list of patterns, got {said!r:.40}; write exclude: ['*.tmp']")
    if wrong := next(filter(None, map(outputs.complaint, patterns)), None):
        raise ValueError(f": exclude: {wrong}")
    return patterns
