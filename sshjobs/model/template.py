"""Specs with placeholders: all jobs of an entry share the texts, and each has only its own values of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sshjobs.errors import UsageError
from sshjobs.model.fill import filled
from sshjobs.model.given import check, check_texts
from sshjobs.model.keys import KEYS
from sshjobs.model.spec import MAX_INDEX, JobSpec

#: The attributes that may hold placeholders.
FILLED = ("argv", "cmds", *(name for name, key in KEYS.items() if key.fills))


class TemplateSpec(JobSpec):
    """A spec that shares texts with placeholders, and returns them with its own values filled in.

    A returned list or mapping is new each time, so changing it has no effect. An attribute that is set holds for this
    spec alone, and placeholders in it are plain text.
    """

    __slots__ = ()


def _filled(key: str) -> property:
    def get(spec: TemplateSpec) -> Any:
        common = spec._common
        value = getattr(common, key)
        return filled(value, spec.params) if key in common.templates else value

    def put(spec: TemplateSpec, value: Any) -> None:
        if key in spec.templates:
            spec.templates = [one for one in spec.templates if one != key]
        spec._change(key, value)

    return property(get, put)


for _name in FILLED:
    setattr(TemplateSpec, _name, _filled(_name))


def with_parameters(spec: JobSpec, names: Sequence[str], templates: Sequence[str] = ()) -> JobSpec:
    """Return a spec with parameters, from which :meth:`JobSpec.named` makes those of the jobs.

    :param names: names of the parameters
    :param templates: which of :data:`FILLED` hold placeholders
    """
    made = spec if not templates else object.__new__(TemplateSpec)
    if made is not spec:
        made.name, made.index, made._common, made._mine = spec.name, spec.index, spec._common, False
        made.templates = list(templates)
    made.param_names, made.values = list(names), (None,) * len(names)
    return made


def from_shared(data: Mapping[str, Any]) -> JobSpec:
    """Return the spec that :meth:`JobSpec.shared` described, without name and values.

    :raises UsageError: it is no such description
    """
    check("the description of a job", data, Mapping)
    rest = {key: value for key, value in data.items() if key not in ("param_names", "templates")}
    names = check_texts("param_names", data.get("param_names", []))
    templates = check_texts("templates", data.get("templates", []))
    if not set(templates) <= set(FILLED):
        raise UsageError(f"placeholders cannot be in {', '.join(sorted(set(templates) - set(FILLED)))}")
    spec = JobSpec.from_dict(rest)
    return with_parameters(spec, names, templates) if names or templates else spec


def packed(specs: Iterable[JobSpec]) -> list[dict[str, Any]]:
    """Return specs as plain data, with the shared part of each entry once. The inverse is :func:`unpacked`."""
    found: list[dict[str, Any]] = []
    before: JobSpec | None = None
    for spec in specs:
        if before is None or not spec.repeats(before):
            found.append({"shared": spec.shared(), "jobs": []})
        found[-1]["jobs"].append([spec.name, spec.index, spec.values])
        before = spec
    return found


def unpacked(data: Any) -> list[JobSpec]:
    """Return the specs that :func:`packed` described; a list of :meth:`JobSpec.as_dict` is allowed, too.

    :raises UsageError: it is no such description
    """
    check("a list of descriptions of jobs", data, list)
    specs: list[JobSpec] = []
    for one in data:
        check("the description of a job", one, dict)
        if "shared" not in one:
            specs.append(JobSpec.from_dict(one))
            continue
        base = from_shared(one["shared"])
        check("jobs", one.get("jobs"), list)
        specs += [_one_of(base, job) for job in one["jobs"]]
    return specs


def _one_of(base: JobSpec, job: Any) -> JobSpec:
    match job:
        case [str() | None as name, int(index), [*values]] if len(values) == len(base.param_names) and all(
                value is None or isinstance(value, str) for value in values) and 0 <= index <= MAX_INDEX:
            return base.named(name, index, tuple(values))
    raise UsageError(f"this is no job of an entry: {job!r:.60}")
