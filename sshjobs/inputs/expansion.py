"""Job specs from a command and the values that it is run for."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence

from sshjobs.errors import UsageError
from sshjobs.inputs.arguments import Arguments
from sshjobs.inputs.commandline import Command, Line, Words
from sshjobs.inputs.jobpaths import PathChecker, same_place
from sshjobs.inputs.limits import MAX_JOB, MAX_WORD, too_large
from sshjobs.inputs.placeholders import TextTemplate
from sshjobs.model.spec import JobSpec

#: The most characters of a job's values that its name shows.
_IN_NAME = 40
_NOT_IN_NAME = re.compile(r"[^\w.+=,-]+")


class Expansion:
    """Makes a job for each row of values.

    :param command: one word is a line of shell, several are a program and its arguments
    :param prototype: what all jobs have in common; its command does not matter
    :param files: paths to send, with placeholders
    :param stdin: path of what a job reads as standard input, with placeholders
    :raises UsageError: a placeholder stands where it cannot, or asks for what no job has
    """

    def __init__(self, command: Sequence[str], arguments: Arguments, prototype: JobSpec, *,
                 files: Sequence[str] = (), stdin: str | None = None):
        self._command, self._arguments, self._prototype = list(command), arguments, prototype
        self._files = [_path(file) for file in files]
        self._stdin = None if stdin is None else _path(stdin)
        self._paths = PathChecker(prototype.base_dir or ".")
        self._commands: dict[int, Command] = {}
        if arguments.width is not None:
            self._command_for(arguments.width)

    def specs(self, taken: Callable[[Sequence[str]], None] | None = None) -> Iterator[JobSpec]:
        """Yield the spec of each job in order. Each is checked; nothing is started.

        :param taken: told the values of each job, in the same order
        :raises UsageError: a value cannot be used, or a file cannot be sent
        """
        for number, values in enumerate(self._arguments.rows(), 1):
            spec = self._prototype.named(self._name(number, values), number)
            try:
                self._command_for(len(values)).fill(spec, values, number)
                self._send(spec, values, number)
                _check_size(spec)
            except UsageError as error:
                if not values or error.where:
                    raise
                raise UsageError(error.what, where=f"job {number:,}", why=error.why, hint=error.hint) from None
            if taken is not None:
                taken(values)
            yield spec

    def lines(self) -> Iterator[str]:
        """Yield for each job in order a line of shell that does what it would do, checked as by :meth:`specs`."""
        rows: list[Sequence[str]] = []
        for number, _ in enumerate(self.specs(rows.append), 1):
            values = rows.pop()
            yield self._command_for(len(values)).shown(values, number)

    def _command_for(self, arity: int) -> Command:
        command = self._commands.get(arity)
        if command is None:
            words = self._command
            command = Line(words[0], arity) if len(words) == 1 else Words(words, arity)
            for template in [*self._files, *([] if self._stdin is None else [self._stdin])]:
                for placeholder in template.placeholders:
                    placeholder.check(arity)
            self._commands[arity] = command
        return command

    def _name(self, number: int, values: Sequence[str]) -> str:
        """Return ``3-access.log``: unique by the number, and readable."""
        if not values:
            return _readable(os.path.basename(self._command[0].split()[0])) or "job"
        return f"{number}-{_readable(' '.join(values))}".rstrip("-")

    def _send(self, spec: JobSpec, values: Sequence[str], number: int) -> None:
        if not self._files and self._stdin is None:
            return
        files = [template.fill(values, number) for template in self._files]
        stdin = None if self._stdin is None else self._stdin.fill(values, number)
        for file in files:
            if complaint := self._paths.complaint(file, directories=True):
                raise UsageError(f"--send: {complaint}")
        if twice := same_place(files):
            one, other = files[twice[0]], files[twice[1]]
            raise UsageError(f"--send: '{one}' and '{other}' would both be placed as '{twice[2]}'", hint="rename one")
        if stdin is not None and (complaint := self._paths.complaint(stdin, directories=False)):
            raise UsageError(f"--stdin: {complaint}")
        spec.files, spec.stdin = files, stdin


def _path(text: str) -> TextTemplate:
    template = TextTemplate(text)
    if any(placeholder.part == "%" for placeholder in template.placeholders):
        raise UsageError("{%} is known on the host only, so no file here can be named after it")
    return template


def _readable(text: str) -> str:
    return _NOT_IN_NAME.sub("_", text[:_IN_NAME]).strip("_-.")


def _check_size(spec: JobSpec) -> None:
    for word in spec.argv or ():
        if len(word) > MAX_WORD // 4 and len(word.encode("utf-8", "surrogateescape")) > MAX_WORD:
            raise UsageError(f"a word would have more than {MAX_WORD:,} bytes, which no program can be given",
                             hint="use a file")
    if too_large(spec):
        raise UsageError(f"its commands and env together have more than {MAX_JOB:,} bytes", hint="put text into files")
