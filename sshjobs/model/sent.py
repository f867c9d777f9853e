"""The files that a job gets: files and directories of this machine, and files that other jobs of its run have left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from sshjobs.model import outputs
from sshjobs.model.several import KEY, Gathering

#: The keys of something that is sent; a text alone is the path.
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
        """Its path in the job's directory: by default its own relative path, or its last name if that path is absolute
        or leads out (``..``). ``None``: it has no such name."""
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
    :ivar path: a pattern for their fetched files
    :ivar to: where it is placed, as with :class:`Sent`
    """

    entry: str
    path: str
    to: str | None = None

    def place(self, path: str, job: str | None) -> str:
        """Return the path of such a file in the job's directory.

        :param path: its path among the fetched files
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
            # As cp does it: from the last name without wildcards on, or what the pattern matches.
            whole = literal == len([part for part in self.path.split("/") if part])
            below = "/".join(names[literal - whole:])
        else:
            below = "/".join(names[literal:])
        inside = [part for part in (self.to or "").split("/") if part not in ("", ".")]
        return "/".join([*inside, *([] if job is None else [job]), *([below] if below else [])])


def sent(files: Iterable[Item]) -> list[Sent]:
    """Return the items of the key ``files`` that are on this machine."""
    return [Sent(one) if isinstance(one, str) else
            Sent(one["path"], one.get("to"), tuple(one.get("exclude", ())), one.get("readonly", False))
            for one in files if isinstance(one, str) or "from" not in one]


def taken(files: Iterable[Item]) -> list[Taken]:
    """Return the items of the key ``files`` that other jobs leave."""
    return [Taken(one["from"], one["path"], one.get("to")) for one in files if isinstance(one, dict) and "from" in one]


def item(said: Any) -> Item:
    """Return one item of the key ``files`` in the form that a spec holds.

    :raises ValueError: it is no such item; the message follows the name of the item
    """
    if isinstance(said, str):
        if not said.strip():
            raise ValueError(" cannot be empty; leave the key out")
        return said
    if not isinstance(said, Mapping):
        raise ValueError(f" must be a path or a mapping, got {said!r:.40}; write {{path: data, to: in/}}")
    keys = ("from", "path", "to") if "from" in said else ("path", "to", "exclude", "readonly")
    told = Gathering()
    for key in said:
        with told.at(key, KEY):
            if key not in keys:
                raise ValueError(f" has no {key!r:.40}; it takes {', '.join(keys)}")
    found = {key: said[key] for key in keys if said.get(key) is not None}
    if "path" not in found:
        with told.at():
            raise ValueError(" needs a path; write {path: data, to: in/}")
    for key in ("path", "from", "to"):
        with told.at(key):
            if key in found:
                _check_text(key, found)
    with told.at("exclude"):
        if "exclude" in found:
            found["exclude"] = _patterns(found["exclude"])
    with told.at("readonly"):
        if not isinstance(found.get("readonly", False), bool):
            raise ValueError(f": readonly cannot be {found['readonly']!r:.40}; use true or false")
    told.end()
    return found


def _check_text(key: str, found: Mapping[str, Any]) -> None:
    text = found[key]
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f": {key} must be text, got {text!r:.40}; quote it")
    # What an earlier job left is looked for in its directory.
    below = key == "to" and text != "./" or key == "path" and "from" in found
    if below and (wrong := outputs.complaint(text)) is not None:
        raise ValueError(f": to: {wrong}" if key == "to" else f": {wrong}")


def _patterns(said: Any) -> list[str]:
    patterns = [said] if isinstance(said, str) else list(said) if isinstance(said, (list, tuple)) else None
    if patterns is None or not all(isinstance(one, str) and one.strip() for one in patterns):
        raise ValueError(f": exclude must be a list of patterns, got {said!r:.40}; write exclude: ['*.tmp']")
    if wrong := next(filter(None, map(outputs.complaint, patterns)), None):
        raise ValueError(f": exclude: {wrong}")
    return patterns
