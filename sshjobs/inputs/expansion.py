"""Makes job specs from a command and the values for which it is run."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from sshjobs.errors import HIDDEN, UsageError
from sshjobs.inputs.arguments import Arguments
from sshjobs.inputs.commandline import Command, Line, Words
from sshjobs.inputs.jobpaths import PathChecker, same_place
from sshjobs.inputs.limits import MAX_JOB, MAX_WORD, too_large
from sshjobs.inputs.notsent import check_program
from sshjobs.inputs.placeholders import TextTemplate
from sshjobs.model.spec import JobSpec

#: The name of a job shows at most so many characters of its values.
_IN_NAME = 40
#: Names that columns cannot have, because they are placeholders already.
_NO_NAME = r"[0-9#%]*(?://|/\.|\.|/)?"
#: Not compiled here: plain words hold none.
_NOT_IN_NAME = rf"(?:[^\w.+=,-]|{HIDDEN})+"


class Expansion:
    """Makes a job for each row of values.

    :param command: one word is a line of shell, several are a program and its arguments
    :param prototype: a spec with everything that the jobs have in common; its command does not matter
    :param files: paths to send, with placeholders; ``stdin``, ``cwd`` and the values of ``env`` the same
    :param stdin: path of what a job reads as standard input
    :param cwd: directory on the host to run in
    :param env: variables of the jobs
    :raises UsageError: a placeholder stands where it cannot, or asks for what no job has
    """

    def __init__(self, command: Sequence[str], arguments: Arguments, prototype: JobSpec, *,
                 files: Sequence[str] = (), stdin: str | None = None, cwd: str | None = None,
                 env: Mapping[str, str] | None = None):
        names = arguments.names
        self._command = [by_number(word, names) for word in command]
        self._arguments, self._prototype = arguments, prototype
        self._files = [_option(by_number(file, names)) for file in files]
        self._stdin = None if stdin is None else _option(by_number(stdin, names))
        self._cwd = None if cwd is None else _option(by_number(cwd, names))
        self._env = {name: _option(by_number(value, names)) for name, value in (env or {}).items()}
        if self._env:
            prototype.env = {**prototype.env, **{name: template.fill((), 0) for name, template in self._env.items()
                                                 if not template.placeholders}}
        found = [placeholder for template in self._options() for placeholder in template.placeholders]
        #: Whether values are appended to a command without placeholders: not if an option uses them.
        self._appends = not found
        self._most = max((placeholder.source for placeholder in [
            *found, *(one for word in self._command for one in TextTemplate(word).placeholders)]), default=0)
        self._paths = PathChecker(prototype.base_dir or ".")
        self._commands: dict[int, Command] = {}
        if arguments.width is not None:
            self._command_for(arguments.width)

    def _options(self) -> list[TextTemplate]:
        """Return the options that may hold placeholders."""
        return [*self._files, *self._env.values(), *(one for one in (self._stdin, self._cwd) if one is not None)]

    def specs(self, taken: Callable[[Sequence[str]], None] | None = None) -> Iterator[JobSpec]:
        """Yield the spec of each job in order. Each is checked; nothing is started.

        :param taken: told the values of each job, in the same order
        :raises UsageError: a value cannot be used, or a file cannot be sent
        """
        for number, values in enumerate(self._arguments.rows(), 1):
            spec = self._prototype.named(self._name(number, values), number)
            if len(values) < self._most and self._arguments.width is None:
                raise self._too_short(number, len(values))
            try:
                self._command_for(len(values)).fill(spec, values, number)
                self._send(spec, values, number)
                self._place(spec, values, number)
                check_program(spec)
                _check_size(spec)
            except UsageError as error:
                if not values or error.where:
                    raise
                raise UsageError(error.what, where=f"job {number:,}", why=error.why, hint=error.hint) from None
            if taken is not None:
                taken(values)
            yield spec

    def lines(self) -> Iterator[str]:
        """Yield for each job in order a line of shell that does the same, after the checks of :meth:`specs`."""
        rows: list[Sequence[str]] = []
        for number, _ in enumerate(self.specs(rows.append), 1):
            values = rows.pop()
            yield self._command_for(len(values)).shown(values, number)

    def _command_for(self, arity: int) -> Command:
        command = self._commands.get(arity)
        if command is None:
            words = self._command
            command = (Line(words[0], arity, appends=self._appends) if len(words) == 1
                       else Words(words, arity, appends=self._appends))
            for template in self._options():
                for placeholder in template.placeholders:
                    placeholder.check(arity)
            self._commands[arity] = command
        return command

    def _too_short(self, number: int, width: int) -> UsageError:
        columns = f"{width} column{'' if width == 1 else 's'}"
        return UsageError(f"row {number:,} has {columns}, and {{{self._most}}} asks for column {self._most}",
                          where=self._arguments.name, hint="complete the row, or see how --colsep splits it")

    def _name(self, number: int, values: Sequence[str]) -> str:
        """Return a name such as ``3-access.log``: unique by its number, and readable."""
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
            raise UsageError(f"--send: {twice[1]}", hint="rename one")
        if stdin is not None and (complaint := self._paths.complaint(stdin, directories=False)):
            raise UsageError(f"--stdin: {complaint}")
        spec.files, spec.stdin = [*files], stdin


    def _place(self, spec: JobSpec, values: Sequence[str], number: int) -> None:
        """Set the working directory and the environment of a job."""
        if self._cwd is not None and self._cwd.placeholders:
            spec.cwd = self._cwd.fill(values, number)
            if not spec.cwd.strip():
                raise UsageError("--cwd would be empty", hint="take the empty value out")
        if any(template.placeholders for template in self._env.values()):
            spec.env = {**spec.env, **{name: template.fill(values, number) for name, template in self._env.items()}}
            for name, value in spec.env.items():
                if len(value) > MAX_WORD // 4 and len(f"{name}={value}".encode("utf-8", "surrogateescape")) > MAX_WORD:
                    raise UsageError(f"--env {name} would have more than {MAX_WORD:,} bytes", hint="use a file")


def by_number(text: str, names: Sequence[str]) -> str:
    """Replace names of columns by their numbers: ``{name}`` becomes ``{2}``, and ``{name/}`` becomes ``{2/}``."""
    for number, name in enumerate(names, 1):
        if name and not re.fullmatch(_NO_NAME, name):
            text = re.sub(r"(?<![\\$])\{" + re.escape(name) + r"(//|/\.|\.|/)?\}",
                          lambda match, number=number: f"{{{number}{match[1] or ''}}}", text)  # type: ignore[misc]
    return text


def _option(text: str) -> TextTemplate:
    template = TextTemplate(text)
    if any(placeholder.part == "%" for placeholder in template.placeholders):
        raise UsageError("{%} is known on the host only, so no option can hold it",
                         hint="the job has it as $SSHJOBS_SLOT")
    return template


def _readable(text: str) -> str:
    text = text[:_IN_NAME]
    if not (text.isascii() and text.isalnum()):
        text = re.sub(_NOT_IN_NAME, "_", text)
    return text.strip("_-.")


def _check_size(spec: JobSpec) -> None:
    for word in spec.argv or ():
        if len(word) > MAX_WORD // 4 and len(word.encode("utf-8", "surrogateescape")) > MAX_WORD:
            raise UsageError(f"a word would have more than {MAX_WORD:,} bytes, which no program can be given",
                             hint="use a file")
    if too_large(spec):
        raise UsageError(f"its commands and env together have more than {MAX_JOB:,} bytes", hint="put text into files")
