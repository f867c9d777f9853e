"""What a jobfile may say: the keys, their types and limits, as pydantic models."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    create_model,
)

from sshjobs.errors import UsageError
from sshjobs.inputs.jobnames import check_name
from sshjobs.inputs.limits import MAX_WORD
from sshjobs.inputs.manners import read_manners
from sshjobs.inputs.scalars import describe
from sshjobs.inputs.timespans import format_duration, parse_duration
from sshjobs.inputs.validation import mistake, taken_by
from sshjobs.model import after, outputs, retrying, sent
from sshjobs.model.gpus import MAX_GPUS, checked_need
from sshjobs.model.keys import (
    KEYS,
    MAX_STATUS,
    USES,
    Awaited,
    Brought,
    Choice,
    Counters,
    Flag,
    Gpus,
    Key,
    Memory,
    Seconds,
    Sending,
    Statuses,
    Text,
    Texts,
    Tries,
    Uses,
    Variables,
    Whole,
    Words,
)
from sshjobs.model.needs import COUNTER, MAX_COUNT, checked_counters
from sshjobs.model.telling import telling_of
from sshjobs.scheduling.failures import FailureLimit

#: The shortest lease, in seconds: a link that is silent is given up after nine.
MIN_LEASE = 30.0
#: Environment variables of this beginning are ours.
RESERVED = "SSHJOBS_"

_TEXT_OR_NUMBER = {"type": ["string", "number"]}


def _script(value: Any) -> Any:
    """One string is a script too."""
    return [value] if isinstance(value, str) else value


def _not_blank(lines: list[str]) -> list[str]:
    if not any(line.strip() for line in lines):
        raise mistake("must hold at least one command")
    return lines


def _words(words: list[str]) -> list[str]:
    if not words or not words[0]:
        raise mistake("must begin with a program; write [program, argument, …]")
    return words


def _word(word: str) -> str:
    if len(word) > MAX_WORD // 4 and _size(word) > MAX_WORD:
        raise mistake(f"has more than {MAX_WORD:,} bytes, which no program can be given; use a file")
    return word


def _variable(name: str) -> str:
    if not name or "=" in name:
        raise mistake(": the name of a variable cannot be empty or hold '='; choose another")
    if name.startswith(RESERVED):
        raise mistake(f": {RESERVED}… are set by sshjobs; choose another name")
    return name


def _variables(env: dict[str, str]) -> dict[str, str]:
    for name, value in env.items():
        if len(name) + len(value) >= MAX_WORD // 4 and _size(name) + 1 + _size(value) > MAX_WORD:
            raise mistake(f"cannot hold {name[:60]}: more than {MAX_WORD:,} bytes with its name; use a file")
    return env


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise mistake("must be a duration; write seconds (90) or units (1s, 2h30m, 1d)")
    try:
        return parse_duration(value)
    except UsageError as error:
        raise mistake(error) from None


def _limit(value: Any) -> str:
    return str(FailureLimit.of(value))


def _manners(value: Any) -> str:
    read_manners(value)
    return str(value)


def _tries(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    return taken_by(retrying.spelt_out, value) if isinstance(value, Mapping) else check(value)


def _one_status(value: Any) -> Any:
    """One number is a list too."""
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


def _used(value: Any) -> Any:
    if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in USES:
        raise mistake("must be a file or directory, {path: model.bin}, or a text, {text: v2}")
    ((word, text),) = value.items()
    if not isinstance(text, str) or not text:
        raise mistake(f"{word} must be text that is not empty; quote it")
    return value


def _matrix(value: Any) -> Any:
    if not isinstance(value, Mapping) or not value:
        got = "got an empty one" if isinstance(value, Mapping) else f"got {describe(value, None)}"
        raise mistake(f"must be a mapping of parameters to lists, {got}; write {{lr: [0.1, 1]}}")
    return value


def _table(value: Any) -> Any:
    if not isinstance(value, (str, list)) or value == "":
        raise mistake(f"must be the path of a table, got {describe(value, None)}; write rows: params.csv")
    return value


def _outputs(value: Any) -> dict[str, dict[str, Any]]:
    """Return what was said of outputs spelt out, with times as seconds."""
    if isinstance(value, Mapping):
        value = {pattern: _timed(how) for pattern, how in value.items()}
    return outputs.spelt_out(value)


def _timed(how: Any) -> Any:
    if not isinstance(how, Mapping) or not isinstance(how.get("every"), str):
        return how
    # What is no time is left as it is, and refused with all else that is wrong.
    with contextlib.suppress(UsageError):
        how = {**how, "every": parse_duration(how["every"])}
    return how


def _lease(seconds: float) -> float:
    if seconds < MIN_LEASE:
        raise mistake(f"must be at least {format_duration(MIN_LEASE)}, because networks fail for moments; take minutes")
    return seconds


def _name(value: str) -> str:
    try:
        check_name(value, "a job's name")
    except UsageError as error:
        raise mistake(error) from None
    return value


def _not_empty(value: str) -> str:
    if not value.strip():
        raise mistake("cannot be empty; leave the key out")
    return value


def _ruled(rule: Callable[[Any], str | None], value: Any) -> Any:
    if (complaint := rule(value)) is not None:
        raise mistake(complaint)
    return value


Script = Annotated[
    list[str], BeforeValidator(_script), AfterValidator(_not_blank),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": _TEXT_OR_NUMBER, "minItems": 1}]}),
]
Arguments = Annotated[
    list[Annotated[str, AfterValidator(_word)]], AfterValidator(_words),
    WithJsonSchema({"type": "array", "items": _TEXT_OR_NUMBER, "minItems": 1}),
]
Env = Annotated[
    dict[Annotated[str, AfterValidator(_variable)], str], AfterValidator(_variables),
    WithJsonSchema({"type": "object", "additionalProperties": _TEXT_OR_NUMBER,
                    "propertyNames": {"pattern": f"^(?!{RESERVED})[^=]+$"}}),
]
Timeout = Annotated[
    float, BeforeValidator(_seconds),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}),
]
_HOW = {"type": ["object", "null"], "additionalProperties": False,
        "properties": {key: {"enum": [word.value for word in words]} for key, words in after.CHOICES.items()}}
After = Annotated[
    dict[str, dict[str, str]], BeforeValidator(partial(taken_by, after.spelt_out)),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}},
                              {"type": "object", "additionalProperties": _HOW}]}),
]
_TIMES = {"type": "integer", "minimum": 0, "maximum": retrying.MAX_RETRIES}
_AGAIN = {"anyOf": [_TIMES, {"type": "object", "additionalProperties": False, "properties": {
    retrying.TIMES: _TIMES, **dict.fromkeys(retrying.GROWING, {"type": ["string", "number"]})}}]}
Again = Annotated[
    int, Field(ge=0, le=retrying.MAX_RETRIES), WrapValidator(_tries),
    WithJsonSchema({"anyOf": [_TIMES, {"type": "object", "additionalProperties": False,
                                       "properties": dict.fromkeys(retrying.WORDS, _AGAIN)}]}),
]
_SIZE: dict[str, Any] = {"type": ["string", "integer"]}
_STATUS = {"type": "integer", "minimum": 0, "maximum": MAX_STATUS}
OkExit = Annotated[
    list[Annotated[int, Field(ge=0, le=MAX_STATUS)]], BeforeValidator(_one_status),
    WithJsonSchema({"anyOf": [_STATUS, {"type": "array", "items": _STATUS, "minItems": 1}]}),
]
Counted = Annotated[
    dict[str, int], BeforeValidator(partial(taken_by, checked_counters)),
    WithJsonSchema({"type": "object", "propertyNames": {"pattern": f"^{COUNTER.pattern}$"},
                    "additionalProperties": {"type": "integer", "minimum": 1, "maximum": MAX_COUNT}}),
]
_GPUS = {"type": "integer", "minimum": 1, "maximum": MAX_GPUS}
GivenGpus = Annotated[
    dict[str, Any], BeforeValidator(partial(taken_by, checked_need)),
    WithJsonSchema({"anyOf": [_GPUS, {"type": "object", "additionalProperties": False, "properties": {
        "count": _GPUS, "memory": {"type": ["string", "integer"]}, "type": {"type": "string"}}}]}),
]
Used = Annotated[
    dict[str, str], BeforeValidator(_used),
    WithJsonSchema({"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": False,
                    "properties": {word: {"type": "string", "minLength": 1} for word in USES}}),
]
_VALUE = {"type": ["string", "number", "boolean"]}
_COMBINATIONS = {"type": "array", "items": {"type": "object", "minProperties": 1, "additionalProperties": _VALUE}}
_LIST = {"anyOf": [
    {"type": "array", "items": _VALUE, "minItems": 1}, {"type": "string", "pattern": r"^\s*[+-]?[0-9.]+\.\.[+-]?[0-9]"},
    *({"type": "object", "required": [kind], "properties": {kind: {"type": "string"}}, "additionalProperties": False}
      for kind in ("glob", "lines"))]}
Matrix = Annotated[
    Any, AfterValidator(_matrix),
    WithJsonSchema({
        "type": "object", "minProperties": 1, "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
        "additionalProperties": _LIST,
        "properties": {
            "zip": {"type": "array", "description": "Parameters that are walked in step.",
                    "items": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}},
            "exclude": {**_COMBINATIONS, "description": "Combinations to leave out."},
            "include": {**_COMBINATIONS, "description": "What to add to combinations, or further ones."}}}),
]
Table = Annotated[Any, AfterValidator(_table), WithJsonSchema({"type": "string", "pattern": r"\.(csv|tsv|jsonl)$"})]
_PATH = {"type": "string", "minLength": 1}
SentItem = Annotated[
    Any, BeforeValidator(partial(taken_by, sent.item)),
    WithJsonSchema({"anyOf": [_PATH, {
        "type": "object", "additionalProperties": False, "required": ["path"], "properties": {
            "path": _PATH, "to": _PATH, "exclude": {"anyOf": [_PATH, {"type": "array", "items": _PATH}]},
            "readonly": {"type": "boolean"}}}, {
        "type": "object", "additionalProperties": False, "required": ["from", "path"],
        "properties": {"from": _PATH, "path": _PATH, "to": _PATH}}]}),
]
_BROUGHT = {"type": ["object", "null"], "additionalProperties": False,
            "properties": {"when": {"enum": [word.value for word in outputs.When]}, "required": {"type": "boolean"},
                           "every": {"type": ["string", "number"]}, "carry": {"type": "boolean"}}}
Outputs = Annotated[
    dict[str, dict[str, Any]], BeforeValidator(partial(taken_by, _outputs)),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}},
                              {"type": "object", "additionalProperties": _BROUGHT}]}),
]
Lease = Annotated[Timeout, AfterValidator(_lease)]
#: Keys of which a jobfile asks more than a program does.
_STRICTER: dict[str, Any] = {"lease": Lease}


def _type(name: str, key: Key) -> Any:
    """Return what pydantic is to make of a key."""
    kind: Any
    match key.kind:
        case Flag():
            kind = bool
        case Whole(least, most):
            kind = Annotated[int, Field(ge=least, le=most)]
        case Choice(words):
            kind = Literal[words]
        case Seconds():
            kind = _STRICTER.get(name, Timeout)
        case Text(as_written):
            kind = Annotated[str, WithJsonSchema(_TEXT_OR_NUMBER)] if as_written else str
        case Sending():
            kind = list[SentItem]
        case Texts():
            kind = list[Annotated[str, AfterValidator(_not_empty)]]
        case Words():
            kind = list[Annotated[str, AfterValidator(_word)]]
        case Variables():
            kind = Env
        case Awaited():
            kind = After
        case Tries():
            kind = Again
        case Statuses():
            kind = OkExit
        case Memory():
            kind = Annotated[int, BeforeValidator(partial(taken_by, key.kind.parse)), WithJsonSchema(_SIZE)]
        case Counters():
            kind = Counted
        case Gpus():
            kind = GivenGpus
        case Uses():
            kind = list[Used]
        case Brought():
            kind = Outputs
        case _:
            raise TypeError(f"what is a {type(key.kind).__name__} in a jobfile?")
    if key.rule is not None:
        kind = Annotated[kind, AfterValidator(partial(_ruled, key.rule))]
    return kind | None if key.default is None else kind


_KEYS: dict[str, Any] = {name: (_type(name, key), Field(key.default, description=key.about))
                         for name, key in KEYS.items()}


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    repeat: int = Field(1, ge=0, description="How many times the job is run; each is a job of its own.")


class Settings(create_model("_Settings", __base__=_Settings, **_KEYS)):  # type: ignore[misc]
    """What ``defaults`` and every job may say. A key that is not given keeps what stood before."""


class JobEntry(Settings):
    """One job in the list: ``commands`` or ``argv``, and what else there is to say."""

    model_config = ConfigDict(
        extra="forbid", strict=True, defer_build=True,
        json_schema_extra={"oneOf": [{"required": ["commands"]}, {"required": ["argv"]}]},
    )

    name: Annotated[str, AfterValidator(_name)] = Field("", description="What the job is called.")
    commands: Script = Field([], description="Lines of a bash script, or one string.")
    argv: Arguments = Field([], description="A program and its arguments, run without a shell.")
    matrix: Matrix = Field(None, description="Parameters with their values; it is run for each combination.")
    rows: Table = Field(None, description="A table (csv, tsv or jsonl) of which each row is a combination.")


class DefaultsEntry(BaseModel):
    """An entry of the list that changes the defaults for what follows."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    defaults: Settings


MaxFailures = Annotated[
    Any, BeforeValidator(partial(taken_by, _limit)), WithJsonSchema({"anyOf": [
        {"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9.]+%?$"}]}),
]


def _wanted(key: str, value: Any) -> Any:
    try:
        telling_of({key: value})
    except UsageError as error:
        text = f"{error.what}; {error.hint}" if error.hint else error.what
        raise mistake(text.removeprefix(f"{key} ").removeprefix(key)) from None
    return value


_COMMANDS_SCHEMA = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"anyOf": [
    {"type": "string"}, {"type": "array", "items": {"type": "string"}}]}}]})
_ADDRESSES_SCHEMA = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
OnDone = Annotated[Any, BeforeValidator(partial(_wanted, "on_done")), _COMMANDS_SCHEMA]
OnFailure = Annotated[Any, BeforeValidator(partial(_wanted, "on_failure")), _COMMANDS_SCHEMA]
OnHostLost = Annotated[Any, BeforeValidator(partial(_wanted, "on_host_lost")), _COMMANDS_SCHEMA]
Notify = Annotated[Any, BeforeValidator(partial(_wanted, "notify")), _ADDRESSES_SCHEMA]
NotifyText = Annotated[Any, BeforeValidator(partial(_wanted, "notify_text")), WithJsonSchema({"type": "string"})]
Manners = Annotated[Any, BeforeValidator(partial(taken_by, _manners)), WithJsonSchema({"type": "string"})]


class RunKeys(BaseModel):
    """What a jobfile says of the run as a whole."""

    model_config = ConfigDict(extra="ignore", strict=True, defer_build=True)

    max_failures: MaxFailures | None = Field(
        None, description="The run ends when more jobs than that have failed: 10, or 5% of all.")
    setup: Script | None = Field(
        None, description="Lines of a bash script that is run once on each host, before its first job.")
    manners: Manners | None = Field(
        None, description="How hosts that say nothing about it want to be treated: max_load=8 only=20:00-08:00.")
    on_done: OnDone | None = Field(
        None, description="A command that is run on this machine when the run is over.")
    on_failure: OnFailure | None = Field(
        None, description="A command that is run on this machine when jobs have failed, after their last retries.")
    on_host_lost: OnHostLost | None = Field(
        None, description="A command that is run on this machine when a host has been away for a minute.")
    notify: Notify | None = Field(
        None, description="URLs of apprise, by which all of that is told: mailto://user:password@host.")
    notify_text: NotifyText | None = Field(
        None, description="What such a message says, with ${{ message }} and the like.")


class Jobfile(RunKeys):
    """A jobfile."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True, title="sshjobs jobfile")

    defaults: Settings = Field(default_factory=lambda: Settings.model_validate({}),
                               description="What every job says unless it says otherwise.")
    jobs: list[JobEntry | DefaultsEntry] = Field(min_length=1, description="The jobs, in order.")


#: Keys of one job only.
JOB_KEYS = frozenset(JobEntry.model_fields) - frozenset(Settings.model_fields)


def jobfile_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a jobfile, for editors."""
    schema = Jobfile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
