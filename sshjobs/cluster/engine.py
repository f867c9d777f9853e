"""The base class of engines, with the commands that all of them have.

Each engine is one file beside this one. It says how its broker and its workers are started, and how workers are asked.
"""

from __future__ import annotations

import contextlib
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from sshjobs.cluster.launching import engine_env
from sshjobs.cluster.pingtable import ping_rows, ping_table
from sshjobs.cluster.supervisor import Supervisor
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK, SshjobsError, UsageError
from sshjobs.model.similar import similar
from sshjobs.pools.config import Settings, find_config, read_ini
from sshjobs.pools.facts import COMMAND_QUIT, COMMAND_RESTART, WorkerFacts
from sshjobs.pools.keys import Key

#: How many seconds a ping waits for answers.
PING_S = 1.0
#: How many seconds a restart waits for workers to come back.
BACK_S = 30.0
#: How many rounds of quit or restart are sent, to reach workers that come meanwhile.
_ROUNDS = 3


@dataclass
class Call:
    """One command line of an engine cluster, after its type.

    :ivar config_file: what ``-c`` names
    :ivar profile: what ``-p`` names: ipython's profile
    :ivar name: which of several recorded engine clusters is meant
    """

    command: str
    arguments: list[str] = field(default_factory=list)
    config_file: str | None = None
    profile: str | None = None
    name: str | None = None
    as_json: bool = False
    verbose: bool = False

    @classmethod
    def parse(cls, words: Sequence[str]) -> Call:
        """Parse a command line. Our options stand before the command or after it; all others belong to the command.

        :raises UsageError: a value is missing, or there is no command
        """
        call, rest, places = cls(""), list(words), {"-c": "config_file", "-p": "profile", "--name": "name"}
        others: list[str] = []
        while rest:
            word = rest.pop(0)
            option, equals, value = word.partition("=")
            if option in places and (equals or rest):
                setattr(call, places[option], value if equals else rest.pop(0))
            elif word in places:
                raise UsageError(f"{word} needs a value", hint="see: sshjobs cluster --help")
            elif word in ("-v", "--verbose"):
                call.verbose = True
            elif word == "--json":
                call.as_json = True
            else:
                others.append(word)
        if not others:
            raise UsageError("no command is given", hint="see: sshjobs cluster --help")
        call.command, *call.arguments = others
        return call


@dataclass(frozen=True)
class WorkerOptions:
    """How the workers of a host are started.

    :ivar threads: how many calls each worker works on at a time
    :ivar memory_limit: the memory limit of each worker, as dask takes it
    :ivar address: the address at which other hosts find this one; ``None`` where the engine is to find it out
    """

    threads: int
    memory_limit: str | None = None
    address: str | None = None


class Engine(ABC):
    """One type of engine cluster.

    :cvar kind: the name of its type
    :cvar libraries: the modules that it needs, each with its name for ``pip install``
    :cvar commands: the names of its commands, each with the method that carries it out
    """

    kind: ClassVar[str]
    libraries: ClassVar[Mapping[str, str]]
    commands: ClassVar[Mapping[str, str]]
    #: The command that launches the broker, and how many ports it needs.
    broker_command: ClassVar[str] = "LaunchBroker"
    ports: ClassVar[int] = 1
    #: Commands that only sshjobs itself uses.
    hidden: ClassVar[Mapping[str, str]] = {}

    #: Commands that all engines have.
    COMMON: ClassVar[Mapping[str, str]] = {
        "LaunchWorker": "launch_worker", "KillWorkers": "kill_workers", "RestartWorkers": "restart_workers",
        "PingWorkers": "ping_workers",
    }

    def __init__(self, call: Call):
        self.call = call

    # -- what each engine defines --------------------------------------------------------------------------------

    @abstractmethod
    def launch_broker(self) -> int:
        """Run the broker or scheduler in the foreground until a signal ends it; return the exit code."""

    @abstractmethod
    def worker_argv(self, arguments: Sequence[str]) -> list[str]:
        """Return the command that runs one worker process in the foreground.

        :param arguments: the arguments after ``LaunchWorker``
        :raises UsageError: the arguments cannot be used
        """

    @abstractmethod
    def ask_workers(self, wait: float, enough: Callable[[Collection[WorkerFacts]], bool] | None = None
                    ) -> list[WorkerFacts]:
        """Return the facts of the workers.

        :param wait: for how many seconds to wait for answers
        :param enough: ends the wait early, once it returns true for the answers so far
        :raises SshjobsError: the broker does not answer
        """

    @abstractmethod
    def tell_workers(self, do: str, workers: Collection[WorkerFacts]) -> Collection[str]:
        """Have workers quit or restart; return those that have confirmed it (:attr:`WorkerFacts.worker`)."""

    @classmethod
    @abstractmethod
    def lay_out(cls, directory: Path, address: str, ports: Sequence[int]) -> list[str]:
        """Write ``cluster.ini`` and a new key for a cluster into a directory; return the names of both.

        :param address: the address of the broker's host
        :param ports: free ports there, as many as :attr:`ports`
        """

    @classmethod
    @abstractmethod
    def worker_words(cls, options: WorkerOptions) -> list[str]:
        """Return the arguments after ``LaunchWorker`` on a host."""

    @classmethod
    def check_memory_limit(cls, limit: str) -> None:
        """:raises UsageError: workers cannot be limited so"""
        raise UsageError(f"{cls.kind} has no limit for the memory of a worker", hint="only dask has one; leave it out")

    @abstractmethod
    def address(self) -> str:
        """Return the address that is shown to users."""

    @abstractmethod
    def connect(self) -> Any:
        """Return the engine's own client, or a pool, for programs that use the cluster.

        :raises SshjobsError: the cluster does not answer
        """

    # -- the same for all engines --------------------------------------------------------------------------------

    @cached_property
    def settings(self) -> Settings:
        """The configuration.

        :raises ConfigException: there is none, or it cannot be read
        """
        return read_ini(find_config(self.kind, self.call.config_file, self.call.name))

    def config_words(self) -> list[str]:
        """Return the options that lead another process to the same configuration."""
        given = {"-c": self.call.config_file, "-p": self.call.profile, "--name": self.call.name}
        return [word for option, value in given.items() if value is not None for word in (option, value)]

    def broker_key(self, section: str) -> Key | None:
        """Return the cluster's key. Where the named file is not there yet, the broker makes it.

        :raises ConfigException: no key is named and an address belongs to another machine; or the key cannot be used
        """
        file = self.settings.path(section, "key_file")
        if file is not None:
            with contextlib.suppress(FileExistsError):
                Key.make(file)
        return self.settings.cluster_key(section)

    def launch_worker(self) -> int:
        """``LaunchWorker``: keep one worker running until it is told to quit."""
        return Supervisor(self.worker_argv(self.call.arguments), env=engine_env(), say=self.say).run()

    def kill_workers(self) -> int:
        """``KillWorkers``: have all workers quit."""
        return self._tell(COMMAND_QUIT, "quits")[0]

    def restart_workers(self) -> int:
        """``RestartWorkers``: have all workers restart, and wait until they are back."""
        code, before, leaving = self._tell(COMMAND_RESTART, "restarts")
        if leaving:
            def back(answers: Collection[WorkerFacts]) -> int:
                return sum(facts.worker not in before for facts in answers)

            found = back(self.ask_workers(BACK_S, lambda answers: back(answers) >= leaving))
            if found < leaving:
                self.say(f"{found} of {leaving} workers are back; one that works on something finishes that first")
        return code

    def _tell(self, do: str, does: str) -> tuple[int, set[str], int]:
        """Send quit or restart to all workers; print those that confirm it, and say which do not.

        :return: the exit code, the workers that were found, and how many of them leave
        """
        self._check_arguments(0)
        found = self.ask_workers(PING_S)
        told, seen, rounds = set[str](), set[str](), _ROUNDS
        while found and rounds:
            seen.update(facts.worker for facts in found)
            confirmed = self.tell_workers(do, found)
            for facts in found:
                if facts.worker in confirmed:
                    told.add(facts.worker)
                    print(f"{facts.host} {facts.pid} {does}", flush=True)
            # A worker that was leaving when it was found has gone since, and cannot confirm. The one that has come in
            # its place is to quit as well. It need not restart: it has just started.
            again = self.ask_workers(PING_S) if any(facts.worker not in told for facts in found) else []
            found = [facts for facts in again
                     if facts.worker not in told and (do == COMMAND_QUIT or facts.worker in seen)]
            rounds -= 1
        for facts in found:
            self.say(f"{facts.host} {facts.pid} does not confirm that it {does}")
        if not told and not found:
            self._nobody()
        return EXIT_JOBS_FAILED if found or not told else EXIT_OK, seen, len(seen) - len(found) if told else 0

    def ping_workers(self) -> int:
        """``PingWorkers [SECS]``: print a table of the workers that answer."""
        self._check_arguments(1)
        wait = _seconds(self.call.arguments[0]) if self.call.arguments else PING_S
        found = self.ask_workers(wait)
        if self.call.as_json:
            print(json.dumps(ping_rows(found)))
        elif found:
            print(ping_table(found))
        return EXIT_OK if found else self._nobody()

    def _nobody(self) -> int:
        self.say("no worker answers")
        return EXIT_JOBS_FAILED

    def _check_arguments(self, most: int) -> None:
        if len(self.call.arguments) > most:
            raise UsageError(f"{self.call.command} takes {'no' if not most else f'at most {most}'} argument",
                             why=f"got {' '.join(self.call.arguments)!r:.60}")

    @staticmethod
    def say(line: str) -> None:
        """Print a line for the user that is no result."""
        print(f"sshjobs: {line}", file=sys.stderr, flush=True)

    @classmethod
    def all_commands(cls) -> dict[str, str]:
        """Return every command with its method."""
        return {**cls.commands, **cls.COMMON}

    @classmethod
    def run_main(cls, words: Sequence[str] | None = None) -> int:
        """Carry out a command line and return the exit code.

        :param words: the words after the type; ``None`` for those of the process
        :raises SshjobsError: it cannot be done
        """
        return cls(Call.parse(sys.argv[1:] if words is None else words)).carry_out()

    def carry_out(self) -> int:
        """Carry out the command of the call and return the exit code.

        :raises SshjobsError: it cannot be done
        """
        methods = self.all_commands()
        if self.call.command not in methods and self.call.command not in self.hidden:
            near = similar(self.call.command, methods, 1, 0.5)
            raise UsageError(f"{self.kind} has no command '{self.call.command}'",
                             hint=f"did you mean {near[0]}?" if near else f"the commands are {', '.join(methods)}")
        check_libraries(self.kind, self.libraries)
        return int(getattr(self, {**methods, **self.hidden}[self.call.command])())


def check_libraries(kind: str, libraries: Mapping[str, str]) -> None:
    """Make sure that what an engine needs is installed.

    :raises SshjobsError: something is not
    """
    missing = [sold_as for module, sold_as in libraries.items() if find_spec(module) is None]
    if missing:
        raise SshjobsError(f"engine clusters of type {kind} need {' and '.join(missing)}, not installed here",
                           hint=f"pip install 'sshjobs[{kind}]'")


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number <= 3600:
        raise UsageError(f"'{text:.40}' is no number of seconds from 0 to 3600")
    return number


def whole_number(text: str, what: str) -> int:
    """Return a number of at least 1.

    :raises UsageError: it is none
    """
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 4096:
        raise UsageError(f"'{text:.40}' is no number of {what} from 1 to 4096")
    return int(text)
