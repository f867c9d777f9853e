"""What an engine cluster is reached by: an INI file with the keys of glimpse-cluster.

The same file is what ``-c`` and the environment name, and what ``sshjobs cluster up`` writes down. It is read on hosts
too, so nothing beyond the standard library is needed.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from sshjobs.errors import UsageError
from sshjobs.pools.keys import Key, check_private

T = TypeVar("T")

#: Variables that name files, read before ``-c``.
FILES_FROM = ("GLIMPSE_CLUSTER_CONFIG", "SSHJOBS_CLUSTER_CONFIG")
#: The file that a recorded engine cluster is reached by.
INI_NAME = "cluster.ini"

_LOCAL = re.compile(r"^(?:(?:tcp|tls)://)?(?:127(?:\.\d{1,3}){3}|localhost|\[::1\])(?::|$)")
_EVERYWHERE = re.compile(r"^(?:(?:tcp|tls)://)?(?:\*|0(?:\.0){0,3}|\[::\]|)(?::|$)")
_TRUE, _FALSE = ("1", "yes", "true", "on"), ("0", "no", "false", "off")


class ConfigException(UsageError):
    """The configuration of an engine cluster cannot be used.

    :ivar file: the file that it stands in, or ought to stand in
    :ivar key: the key that it is about, ``None`` where that is the file as a whole
    """

    def __init__(self, what: str, *, file: str | None = None, key: str | None = None, why: str | None = None,
                 hint: str | None = None):
        self.file, self.key = file, key
        super().__init__(what, where=file, why=why, hint=hint)


class Endpoint(NamedTuple):
    """One end of a channel. ``bind``: this party listens at the address, the other ones connect to it."""

    url: str
    bind: bool = False


@dataclass(frozen=True)
class _Value:
    text: str
    file: str


class Settings:
    """The keys of INI files, of which the later ones win key by key. Sections inherit from ``[DEFAULT]``.

    :ivar files: the files, in the order in which they were read
    """

    def __init__(self, files: Sequence[Path]):
        self.files = tuple(str(file) for file in files)
        self._parser = configparser.ConfigParser()
        self._origin: dict[tuple[str, str], str] = {}

    def has(self, section: str) -> bool:
        """Tell whether a section is there."""
        return self._parser.has_section(section)

    def text(self, section: str, key: str, default: str | None = None) -> str:
        """Return a value.

        :raises ConfigException: it is missing and there is no default, or it cannot be read
        """
        found = self._get(section, key)
        if found is not None:
            return found.text
        if default is None:
            raise ConfigException(f"[{section}] has no {key}", file=self._file(section), key=key, hint="add it")
        return default

    def number(self, section: str, key: str, default: float) -> float:
        """Return a number above 0.

        :raises ConfigException: it is something else
        """
        found = self._get(section, key)
        if found is None:
            return default
        try:
            number = float(found.text)
        except ValueError:
            number = 0.0
        if not 0 < number < float("inf"):
            raise ConfigException(f"{key} in [{section}] must be a number above 0, got {found.text!r}",
                                  file=found.file, key=key)
        return number

    def flag(self, section: str, key: str, default: bool = False) -> bool:
        """Return yes or no.

        :raises ConfigException: it is something else
        """
        found = self._get(section, key)
        if found is None:
            return default
        word = found.text.lower()
        if word not in _TRUE + _FALSE:
            raise ConfigException(f"{key} in [{section}] must be yes or no, got {found.text!r}", file=found.file,
                                  key=key)
        return word in _TRUE

    def path(self, section: str, key: str) -> Path | None:
        """Return a path, absolute; a relative one belongs to the file that it stands in. ``None``: it is not given."""
        found = self._get(section, key)
        if found is None or not found.text:
            return None
        return Path(found.file).absolute().parent / Path(found.text).expanduser()

    def url(self, section: str, key: str) -> str:
        """Return the address of a channel, ``tcp://HOST:PORT`` or ``ipc://PATH``.

        :raises ConfigException: it is missing, or another kind of address
        """
        text = self.text(section, key)
        if not re.fullmatch(r"tcp://[^\s/]+:\d{1,5}|ipc://\S+", text):
            raise ConfigException(f"{key} in [{section}] must be tcp://HOST:PORT or ipc://PATH, got {text!r}",
                                  file=self._file(section, key), key=key)
        return text

    def address(self, section: str, key: str) -> tuple[str, int]:
        """Return host and port of a ``HOST:PORT``.

        :raises ConfigException: it is missing, or no such thing
        """
        host, colon, port = self.text(section, key).rpartition(":")
        if not host or not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise ConfigException(f"{key} in [{section}] must be HOST:PORT, got {self.text(section, key)!r}",
                                  file=self._file(section, key), key=key)
        return host.strip("[]"), int(port)

    def endpoint(self, section: str, name: str) -> Endpoint:
        """Return this party's end of the channel ``name``: ``NAME_url``, and ``NAME_bind`` where it listens itself.

        :raises ConfigException: it is missing, or cannot be used
        """
        if self.flag(section, f"{name}_bind"):
            return self.listening(section, f"{name}_url")
        return Endpoint(self.url(section, f"{name}_url"))

    def listening(self, section: str, key: str) -> Endpoint:
        """Return the end of a channel at which this party listens.

        :raises ConfigException: it is missing, or is not one address but all that this machine has
        """
        text = self.url(section, key)
        self.check_listening(section, key, text)
        return Endpoint(text, bind=True)

    def check_listening(self, section: str, key: str, text: str) -> None:
        """Make sure that an address to listen at is one address, not all that this machine has.

        :raises ConfigException: it is not
        """
        if not text.startswith("ipc://") and _EVERYWHERE.match(text):
            raise ConfigException(f"{key} in [{section}] would listen on every address of this machine",
                                  file=self._file(section, key), key=key, hint="name the one of the cluster")

    def key_file(self, section: str) -> Path | None:
        """Return the file of the cluster's key. ``None`` where none is named, as only a cluster of this machine may.

        :raises ConfigException: an address of another machine is named and no key, or others may read the file
        """
        file = self.path(section, "key_file")
        if file is not None:
            self._in_file(file, check_private)
            return file
        for (place, key), origin in self._origin.items():
            if key.endswith("_url") and not is_local(self.text(place, key)):
                raise ConfigException(f"{key} in [{place}] is not on this machine, and there is no key_file",
                                      file=origin, key=key,
                                      hint="add the key_file that the broker of this cluster has")
        return None

    def cluster_key(self, section: str) -> Key | None:
        """Return the key of a cluster whose channels are ZeroMQ's. ``None`` as for :meth:`key_file`.

        :raises ConfigException: as for :meth:`key_file`, or it is no key
        """
        file = self.key_file(section)
        return None if file is None else self._in_file(file, Key.load)

    @staticmethod
    def _in_file(file: Path, act: Callable[[Path], T]) -> T:
        try:
            return act(file)
        except UsageError as error:
            raise ConfigException(error.what, file=str(file), key="key_file", why=error.why,
                                  hint=error.hint) from None

    def read(self, file: Path) -> None:
        """Add the keys of a file.

        :raises ConfigException: it cannot be read
        """
        one = configparser.ConfigParser()
        for parser in (one, self._parser):
            try:
                with open(file, encoding="utf-8") as stream:
                    parser.read_file(stream, str(file))
            except (OSError, ValueError, configparser.Error) as error:
                raise ConfigException("the cluster's configuration cannot be read", file=str(file),
                                      why=_reason(error)) from None
        for key in one.defaults():
            self._origin["DEFAULT", key] = str(file)
        for section in one.sections():
            for key in one.options(section):
                if key not in one.defaults():
                    self._origin[section, key] = str(file)

    def _get(self, section: str, key: str) -> _Value | None:
        place = section if self._parser.has_section(section) else "DEFAULT"
        try:
            text = self._parser.get(place, key, fallback=None)
        except configparser.Error as error:
            raise ConfigException(f"{key} in [{section}] cannot be read", file=self._file(section, key), key=key,
                                  why=_reason(error)) from None
        return None if text is None else _Value(text.strip(), self._file(section, key))

    def _file(self, section: str, key: str | None = None) -> str:
        for place in (section, "DEFAULT"):
            if key is not None and (place, key.lower()) in self._origin:
                return self._origin[place, key.lower()]
        in_section = [file for (place, _), file in self._origin.items() if place == section]
        return in_section[-1] if in_section else self.files[-1]


def read_ini(files: Sequence[Path]) -> Settings:
    """Return the keys of INI files, of which the later ones win.

    :raises ConfigException: one cannot be read
    """
    settings = Settings(files)
    for file in files:
        settings.read(file)
    return settings


def find_config(kind: str, config_file: str | Path | None = None, name: str | None = None) -> list[Path]:
    """Return the files that say how to reach an engine cluster: those of the environment and the named one, else that
    of the engine cluster of the kind that ``up`` brought up last.

    :param kind: the type: ``gearman``, ``zmq``, ``dask``, ``ipython``, or one of a plug-in
    :param name: only the engine cluster of that name
    :raises ConfigException: there is none
    """
    if config_file is not None and Path(config_file).parent.parent == records_directory():
        return [Path(config_file)]  # `up` wrote all of it
    if name is None:
        named = [value for variable in FILES_FROM if (value := os.environ.get(variable))]
        files = [Path(value) for value in (*named, *([config_file] if config_file is not None else []))]
        if files:
            return files
    found = last_recorded(kind, name)
    if found is None:
        called = f" called '{name}'" if name else ""
        raise ConfigException(f"no engine cluster of type {kind}{called} is known",
                              hint=f"name its configuration with -c FILE, or: sshjobs cluster up -t {kind} HOST…")
    return [found / INI_NAME]


def records_directory() -> Path:
    """Return the directory in which ``up`` keeps what it brought up, one directory for each engine cluster."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(state) / "sshjobs" / "clusters"


def last_recorded(kind: str | None = None, name: str | None = None) -> Path | None:
    """Return the directory of the engine cluster that ``up`` brought up last, of a type, of a name, or of any.

    The type is the first line of the file ``type`` in it, which is written when the cluster stands.
    """
    found: list[tuple[int, Path]] = []
    for mark in records_directory().glob("*/type"):
        try:
            fits = kind is None or mark.read_text(encoding="utf-8").strip() == kind
            if fits and (name is None or mark.parent.name == name):
                found.append((mark.stat().st_mtime_ns, mark.parent))
        except OSError:
            continue
    return max(found)[1] if found else None


def is_local(url: str) -> bool:
    """Tell whether an address can only be reached from this machine."""
    return url.startswith(("ipc://", "inproc://")) or _LOCAL.match(url) is not None


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return " ".join(str(error).split())
