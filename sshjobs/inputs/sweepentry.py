"""Entries of which each combination of parameters is a job: their text with placeholders, and what that becomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from pydantic import ValidationError

from sshjobs.errors import UsageError
from sshjobs.inputs.explain import complaints, shown_path
from sshjobs.inputs.jobmodel import JobEntry
from sshjobs.inputs.jobnames import check_name, repeated
from sshjobs.inputs.jobpaths import PathChecker, same_place
from sshjobs.inputs.limits import INTEGER, MAX_JOB, MAX_WORD, too_large
from sshjobs.inputs.sweep import Mistakes, Path, Sweep, Values, misspelt
from sshjobs.inputs.validation import valid
from sshjobs.model.fill import OPEN, filled, holds_any, names_in, texts
from sshjobs.model.keys import KEYS, Variables
from sshjobs.model.params import ALL, VARIABLE, variables
from sshjobs.model.sent import sent
from sshjobs.model.spec import JobSpec
from sshjobs.model.template import FILLED, with_parameters

#: So many bad values of one key are told.
_MOST = 20


@dataclass
class Template:
    """What an entry says, with placeholders.

    :ivar values: by the names of keys, as a jobfile has them
    :ivar name: of its jobs, where that has placeholders
    :ivar filled: names of the keys that have any
    :ivar numbers: names of the parameters of which bash works out the values
    """

    values: dict[str, Any]
    name: str | None = None
    filled: list[str] = field(default_factory=list)
    numbers: frozenset[str] = frozenset()

    @property
    def entry(self) -> str | None:
        """What the entry is called: the beginning of the names of its jobs, where they begin with something."""
        return (self.name or "").partition(OPEN)[0].rstrip(" -_.,;:=@+(") or None

    def spec(self, sweep: Sweep | None, base_dir: str) -> JobSpec:
        """Return the spec that all jobs share."""
        values = dict(self.values)
        spec = JobSpec(values.pop("commands", ()), base_dir=base_dir, **values)
        if sweep is None:
            return spec
        return with_parameters(spec, sweep.names, ["cmds" if key == "commands" else key for key in self.filled])


def template_of(values: Mapping[str, Any], names: Sequence[str], mistakes: Mistakes) -> Template:
    """Return what an entry says, after looking at its placeholders. ``$${{`` is text from here on.

    :param values: as a jobfile has them, with the right types
    :param names: of its parameters
    """
    made = Template(dict(values))
    for key in _held(values, names, mistakes):
        value = values[key]
        if key == "commands":
            _take_script(made, mistakes)
        elif not names_in(value):
            made.values[key] = filled(value, {})
        elif key == "name":
            made.name, made.values["name"] = value, ""
        else:
            made.filled.append(key)
    if made.name is not None:
        made.values["name"] = made.entry
    return made


def look_at_placeholders(values: Mapping[str, Any], names: Sequence[str], mistakes: Mistakes) -> None:
    """Tell of mistakes in the placeholders of an entry that has other mistakes."""
    for _ in _held(values, names, mistakes):
        pass


def _held(values: Mapping[str, Any], names: Sequence[str], mistakes: Mistakes) -> Iterator[str]:
    """Yield the keys that hold placeholders, or what stands for text of one, and no mistake in these."""
    for key in ("name", "commands", *(key for key in FILLED if key != "cmds")):
        if key in values and holds_any(values[key]) and _all_known(key, values[key], names, mistakes):
            yield key


def _take_script(made: Template, mistakes: Mistakes) -> None:
    # Here, as few jobfiles have a script with parameters, and what reads one takes its time to load.
    from sshjobs.inputs.paramscript import with_variables

    try:
        script = with_variables(made.values["commands"])
    except UsageError as error:
        mistakes.say(["commands"], f"commands: {error}")
        return
    made.values["commands"], made.numbers = script.lines, script.numbers
    if script.raw:
        made.filled.append("commands")


def _all_known(key: str, value: Any, names: Sequence[str], mistakes: Mistakes) -> bool:
    """Tell whether all placeholders in a value are of parameters that there are."""
    right = True
    # One text may be a script as well.
    one = key == "commands" and isinstance(value, list) and len(value) == 1
    for path, text in _placed(value[0] if one else value, [key]):
        shown, complaint = shown_path(path).rstrip(","), None
        try:
            unknown = [name for name in names_in(text) if name not in names]
        except UsageError as error:
            complaint = f"{shown}: {error}"
        else:
            if unknown:
                complaint = f"{shown}: there is no parameter '{unknown[0][:60]}'; {misspelt(unknown[0], names)}"
        if complaint is not None:
            mistakes.say(path, complaint)
            right = False
    if isinstance(value, dict) and key in KEYS and isinstance(KEYS[key].kind, Variables) and (
            wrong := next((name for name in value if OPEN in name), None)) is not None:
        message = f"{key}: the name of a variable cannot hold a placeholder; choose another"
        mistakes.say([key, wrong], message, of_key=True)
        return False
    return right


def _placed(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield the texts in a value that have placeholders, each with the path of the nearest item."""
    if isinstance(value, (list, dict)):
        for step, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _placed(one, [*path, step])
            if isinstance(step, str) and OPEN in step:
                yield [*path, step], step
    elif isinstance(value, str) and OPEN in value:
        yield path, value


class SweptJobs:
    """The jobs of an entry with parameters.

    :param repeat: how often each combination is run
    :param name: of each job, with placeholders; ``None``: they are numbered
    """

    def __init__(self, sweep: Sweep, repeat: int, name: str | None):
        self.sweep, self.repeat, self.name = sweep, repeat, name

    def count(self) -> int:
        """Return how many there are."""
        return self.repeat * self.sweep.count()

    def names(self, entry: str) -> Iterator[str]:
        """Yield their names; all combinations once, then all of them again."""
        if self.name is None:
            yield from (f"{entry}-{n}" for n in range(1, self.count() + 1))
            return
        for n in range(self.repeat):
            yield from (title if self.repeat == 1 else f"{title}-{n + 1}" for title in self.titles())

    def titles(self) -> Iterator[str]:
        """Yield what ``name`` says for each combination."""
        return (filled(self.name, self.params(values)) for values in self.sweep.combinations())

    def specs(self, spec: JobSpec) -> Iterator[JobSpec]:
        """Yield the spec of each job."""
        spec.entry = entry = spec.entry_name
        names = self.names(entry)
        # Repeats of a combination share its values.
        combinations = self.sweep.combinations() if self.repeat == 1 else list(self.sweep.combinations())
        for n in range(self.repeat):
            for values in combinations:
                yield spec.named(next(names), n + 1, values)

    def params(self, values: Values) -> dict[str, str]:
        """Return the parameters of a combination by name."""
        return {name: value for name, value in zip(self.sweep.names, values, strict=True) if value is not None}


class JobChecker:
    """Looks at what the jobs of an entry become, before there is any.

    :param paths: looks at files that are sent; ``None``: nobody does yet
    """

    def __init__(self, template: Template, jobs: SweptJobs, paths: PathChecker | None, mistakes: Mistakes):
        self._template, self._jobs, self._paths, self._mistakes = template, jobs, paths, mistakes
        self._told = dict[str, int]()

    def check(self, spec: JobSpec) -> None:
        """Tell of every mistake.

        :param spec: what the jobs share
        """
        sweep, values = self._jobs.sweep, self._template.values
        keys = []
        for key in self._template.filled:
            own = [sweep.names.index(name) for name in names_in(values[key])]
            keys.append((key, itemgetter(*own), len(own) == 1, set[Any]()))
        numbers = [(sweep.names.index(name), set[Any]()) for name in self._template.numbers]
        # What a job has more of than this is weighed.
        holes = 2 + sum(text.count(OPEN) for key in self._template.filled for text in texts(values[key]))
        light = (MAX_WORD - sum(map(len, sweep.names)) * 2) // 12 // holes - 100
        for one in sweep.combinations():
            for key, part, _, seen in keys:
                if (own_values := part(one)) not in seen:
                    seen.add(own_values)
                    self._look_at(key, one)
            for place, seen in numbers:
                if one[place] not in seen:
                    seen.add(one[place])
                    self._check_number(sweep.names[place], one[place])
            if len("".join([value for value in one if value])) > light:
                self._weigh(spec, one)
        if self._template.name is not None:
            self._check_names(self._template.name)

    def _say(self, key: str, message: str, values: Values | None = None) -> None:
        """Tell of a mistake, so many times for a key."""
        self._told[key] = self._told.get(key, 0) + 1
        if self._told[key] <= _MOST:
            with_ = "" if values is None else f" (with {self._shown(values)})"
            self._mistakes.say([key], f"{message}{with_}")

    def _shown(self, values: Values) -> str:
        text = ", ".join(f"{name}={value}" for name, value in self._jobs.params(values).items())
        return text if len(text) <= 120 else f"{text[:119]}…"

    def _look_at(self, key: str, values: Values) -> None:
        """Check the value of a key for one combination."""
        value = filled(self._template.values[key], self._jobs.params(values))
        data = {key: value}
        try:
            valid(JobEntry, data)
        except ValidationError as error:
            for _, _, message in complaints(error, data, list(KEYS)):
                self._say(key, message, values)
            return
        if self._paths is None:
            return
        if key == "files":
            for one in sent(value):
                if complaint := self._paths.complaint_of(one):
                    self._say(key, f"files: {complaint}", values)
            if twice := same_place(value):
                self._say(key, f"files: {twice[1]}; rename one", values)
        elif key == "uses":
            for path in (item["path"] for item in value if "path" in item):
                if complaint := self._paths.complaint_of_used(path):
                    self._say(key, f"uses: {complaint}", values)
        elif key == "stdin" and (complaint := self._paths.complaint(value, directories=False)):
            self._say(key, f"stdin: {complaint}", values)

    def _check_number(self, name: str, value: str | None) -> None:
        if value is None or not INTEGER.fullmatch(value):
            got = "a job has none" if value is None else f"one is '{value[:60]}'"
            self._say("commands", f"commands: where bash does arithmetic only a whole number can stand for {name}, and "
                                  f"{got}: it would obey anything else; check the values, or compare texts: "
                                  "[[ $x == 1 ]]")

    def _weigh(self, spec: JobSpec, values: Values) -> None:
        """Make sure that a job with much text can be sent and started."""
        for name, text in variables(self._jobs.params(values)).items():
            if len(f"{name}={text}".encode("utf-8", "surrogatepass")) > MAX_WORD:
                what = ("all parameters of a job have" if name == ALL else
                        f"the parameter {name.removeprefix(VARIABLE)} of a job has")
                self._say("matrix", f"{what} more than {MAX_WORD:,} bytes, which no program can be given; put text "
                                    "into files")
        if too_large(spec.named("job", 1, values)):
            self._say("matrix", f"commands, argv and env of a job together have more than {MAX_JOB:,} bytes; "
                                "put text into files")

    def _check_names(self, name: str) -> None:
        seen = dict[str, Values]()
        for values in self._jobs.sweep.combinations():
            made = filled(name, self._jobs.params(values))
            try:
                check_name(next(repeated(made, self._jobs.repeat or 1))[0], "a job's name")
            except UsageError as error:
                self._say("name", f"name: {error}", values)
            if made in seen:
                self._say("name", f"name: two jobs would be called '{made[:100]}' ({self._shown(seen[made])} and "
                                  f"{self._shown(values)}); name them by all parameters, or leave name to numbers")
                break
            seen[made] = values
