"""One table of keys: whatever stands in it can be given, is checked, kept, sent to hosts and told of, all by itself."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshjobs import Builder, JobSpec, UsageError
from sshjobs.gjob.jobkeys import CHANGES, CHECKS
from sshjobs.inputs.jobfile import load_jobfile
from sshjobs.model.keys import (
    KEYS,
    Awaited,
    Brought,
    Choice,
    Counters,
    Flag,
    Gpus,
    Key,
    KeysGiven,
    KeysHeld,
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
from sshjobs.network.session.attempts import launch_spec
from sshjobs.store.rows import spec_json

PAGE = Path(__file__).parents[2] / "docs" / "jobfile.md"
#: What a launch says that is no key: it is made of several, of files, or is what the job was given.
MADE = {"gpus", "argv", "call", "script", "files", "listing", "stdin", "strict", "login"}


def another(key: Key) -> Any:
    """Return a value of a key that is not its default."""
    match key.kind:
        case Flag():
            return not key.default
        case Whole(_, most):
            return most
        case Seconds():
            return 86400.0
        case Choice(words):
            return next(word for word in words if word != key.default)
        case Text():
            return next(text for text in ("some", "027", "1") if key.rule is None or key.rule(text) is None)
        case Texts() | Words():
            return ["one", "two"]
        case Variables():
            return {"A": "1"}
        case Tries():
            return {"failed": {"times": 1}, "timed_out": {"times": 2}}
        case Statuses():
            return [0, 2]
        case Memory():
            return 512 << 20
        case Gpus():
            return {"count": 2, "memory": 20 << 30, "type": "a100"}
        case Counters():
            return {"license": 2}
        case Awaited():
            return {"prep": {"when": "ended", "jobs": "all"}}
        case Uses():
            return [{"path": "some"}, {"text": "v2"}]
        case Sending():
            return ["some", {"path": "one", "to": "in/", "exclude": ["*.tmp"], "readonly": True}]
        case Brought():
            return {"logs/*.txt": {"when": "always", "required": True, "every": 60.0, "carry": True}}
    raise AssertionError(f"write down a value of a {type(key.kind).__name__}")


def test_each_key_stands_in_each_of_its_three_places() -> None:
    assert ["files", *KeysGiven.__annotations__] == list(KeysHeld.__annotations__)
    assert list(KeysHeld.__annotations__) == list(KEYS)


@pytest.mark.parametrize("function", [JobSpec, Builder.AddJob])
def test_help_shows_every_key_with_its_default(function: Callable[..., Any]) -> None:
    shown = inspect.signature(function).parameters
    assert {name: shown[name].default for name in KEYS if name != "files"} == {
        name: key.default for name, key in KEYS.items() if name != "files"}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_can_be_given_in_every_way_and_is_kept(name: str, tmp_path: Path) -> None:
    value = another(KEYS[name])
    for path in ("some", "one", "two"):
        (tmp_path / path).touch()
    given: dict[str, Any] = {name: value}
    specs = [JobSpec("x", **given), *Builder().AddJob("x", **given).job_specs]
    for jobfile in ({"jobs": [{"commands": "x", **given}]}, {"defaults": given, "jobs": [{"commands": "x"}]}):
        (tmp_path / "jobs.yaml").write_text(json.dumps(jobfile))
        specs += [entry.spec for entry in load_jobfile(tmp_path / "jobs.yaml", known=["prep"])]
    specs += [JobSpec.from_dict(json.loads(spec_json(specs[0]))), JobSpec.from_dict(specs[0].as_dict())]
    assert [getattr(spec, name) for spec in specs] == [value] * 6
    assert getattr(JobSpec("x"), name) == KEYS[name].default != value


@pytest.mark.parametrize("name", KEYS)
def test_a_key_is_told_to_hosts_when_it_says_something(name: str) -> None:
    given: dict[str, Any] = {name: another(KEYS[name])}
    assert name not in launch_spec(JobSpec(argv=["x"]))
    assert (name in launch_spec(JobSpec(argv=["x"], **given))) == KEYS[name].far
    if KEYS[name].far:
        assert name in CHECKS, f"add a check of {name} to CHECKS of gjob/jobkeys.py"
        assert CHECKS[name](given[name]) and not CHECKS[name](object())


def test_the_far_side_knows_the_keys_that_it_is_told_and_no_other() -> None:
    assert CHECKS.keys() == {name for name, key in KEYS.items() if key.far} | MADE
    assert CHANGES.keys() <= CHECKS.keys()


@pytest.mark.parametrize("name", KEYS)
def test_what_a_key_cannot_be_is_refused(name: str) -> None:
    wrong: dict[str, Any] = {name: object()}
    for call in (JobSpec, Builder().AddJob):
        with pytest.raises(UsageError, match=name):
            call("x", **wrong)


@pytest.mark.parametrize("call", [JobSpec, Builder().AddJob])
def test_a_key_that_there_is_not_is_refused(call: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="tiemout"):
        call("x", tiemout=5)


def test_specs_share_no_list_and_no_mapping() -> None:
    one, other = JobSpec("x"), JobSpec("x")
    for name, key in KEYS.items():
        if isinstance(key.default, (list, dict)):
            assert getattr(one, name) is not getattr(other, name)
    one.env["A"] = "1"
    assert other.env == JobSpec("x").env == {}


def test_what_nobody_said_takes_no_room_in_a_spec() -> None:
    held = vars(JobSpec("x")._common)
    assert not held.keys() - {"cmds", "argv", "base_dir", "call"} - {
        name for name, key in KEYS.items() if isinstance(key.default, (list, dict))}


def test_the_page_tells_the_default_of_every_key() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| .*? \| (.*?) \|", PAGE.read_text(), re.MULTILINE))
    for name, key in KEYS.items():
        assert name in rows, f"add a row for {name} to docs/jobfile.md"
        said = rows[name].strip("`")
        if key.default is not None and said not in ("any host", "nothing"):
            assert said == (key.default if isinstance(key.default, str) else json.dumps(key.default)), name
