"""Builder: the seed's syntax for lists of job specs, without its traps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sshjobs.errors import InputError, UsageError
from sshjobs.inputs.builder import Builder
from sshjobs.model.spec import JobSpec


def names(builder: Builder) -> list[str | None]:
    return [spec.name for spec in builder.MakeJobSpecs()]


def test_a_new_builder_is_as_the_seeds():
    builder = Builder()
    assert (builder.repeat, builder.job_specs, builder.MakeJobSpecs()) == (1, [], [])


def test_calls_can_be_chained_in_the_seeds_order_of_arguments(tmp_path):
    path = tmp_path / "jobs.yaml"
    path.write_text("jobs: [{name: c, commands: x}]")
    specs = (Builder().AddJob(["x", "y"], ["in.txt"], "a", 2).SetRepeat(2).AddJob(["z"], name="b").AddJobFile(path)
             .MakeJobSpecs())
    assert [spec.name for spec in specs] == ["a-1", "a-2", "b-1", "b-2", "c"]
    assert (specs[0].cmds, specs[0].files, specs[0].index, specs[1].index) == (["x", "y"], ["in.txt"], 1, 2)


def test_set_repeat_holds_for_later_jobs_only():
    builder = Builder().AddJob("x", name="a").SetRepeat(2).AddJob("x", name="b").AddJob("x", name="c", repeat=1)
    assert names(builder) == ["a", "b-1", "b-2", "c"]


def test_a_jobfile_says_itself_what_is_repeated(tmp_path):
    (tmp_path / "j.yaml").write_text("jobs: [{name: a, commands: x}, {name: b, commands: x, repeat: 2}]")
    assert names(Builder().SetRepeat(5).AddJobFile(tmp_path / "j.yaml")) == ["a", "b-1", "b-2"]


def test_repeat_zero_makes_no_job():
    assert names(Builder().AddJob("x", repeat=0)) == []
    assert names(Builder().SetRepeat(0).AddJob("x")) == []


def test_a_job_without_a_name_is_called_job():
    assert names(Builder().AddJob("x").AddJob("x", repeat=2)) == ["job", "job-1", "job-2"]


def test_every_option_of_a_spec_can_be_given(tmp_path):
    (spec,) = Builder().AddJob(
        argv=["prog", "a b"], name="n", env={"A": "b"}, cwd="/w", timeout="1m", retries=1, host_retries=2, once=True,
        stdin=Path("in"), nice=3, login=True, strict=False, leftovers="keep", hosts=["h*"], per_host=True,
        files=[Path("d")], base_dir=tmp_path, lease="10m",
    ).MakeJobSpecs()
    assert spec.as_dict() == {
        **JobSpec("x").as_dict(), "argv": ["prog", "a b"], "base_dir": str(tmp_path), "cmds": [], "cwd": "/w", "env": {"A": "b"},
        "files": ["d"], "host_retries": 2, "hosts": ["h*"], "index": 1, "lease": 600.0, "leftovers": "keep",
        "login": True, "name": "n", "nice": 3, "once": True, "per_host": True, "retries": 1, "stdin": "in", "strict": False,
        "timeout": 60.0,
    }


def test_the_directory_of_files_is_the_one_at_the_time_of_the_call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    builder = Builder().AddJob("x", files=["a"])
    monkeypatch.chdir("/")
    assert builder.MakeJobSpecs()[0].base_dir == str(tmp_path) != os.getcwd()


def test_lists_of_the_caller_are_copied():
    commands, files, env = ["x"], ["a"], {"A": "b"}
    builder = Builder().AddJob(commands, files, env=env)
    commands.append("y")
    files.append("b")
    env["B"] = "c"
    (spec,) = builder.MakeJobSpecs()
    assert (spec.cmds, spec.files, spec.env) == (["x"], ["a"], {"A": "b"})


def test_the_list_that_is_returned_is_the_callers_own():
    builder = Builder().AddJob("x")
    builder.MakeJobSpecs().clear()
    assert len(builder.MakeJobSpecs()) == 1


def test_two_builders_share_nothing():
    Builder().AddJob("x")
    assert Builder().MakeJobSpecs() == []


@pytest.mark.parametrize(("arguments", "said"), [
    ({}, "commands must hold at least one command"),
    ({"commands": []}, "commands must hold at least one command"),
    ({"commands": [""]}, "commands must hold at least one command"),
    ({"commands": [1]}, "commands, item 1, must be text, got the number 1"),
    ({"commands": b"x"}, "commands must be a list, got bytes b'x'; write [one, two]"),
    ({"commands": "x", "argv": ["y"]},
     "job: a job takes commands or argv, not both; give commands (lines of a script) or argv (words)"),
    ({"argv": []}, "argv must begin with a program; write [program, argument, …]"),
    ({"argv": "ls"}, "argv must be a list, got the text 'ls'; write [one, two]"),
    ({"commands": "x", "files": "abc"}, "files must be a list, got the text 'abc'; write [one, two]"),
    ({"commands": "x", "repeat": -1}, "repeat must be at least 0, got the number -1"),
    ({"commands": "x", "repeat": True}, "repeat must be a whole number, got the boolean True"),
    ({"commands": "x", "repeat": 10**9}, "this would make 1,000,000,000 jobs, the limit is 1,000,000; lower repeat"),
    ({"commands": "x", "name": "../y"},
     "../y: name: a job's name cannot hold '/': it names a directory; use '-' or '_' instead"),
    ({"commands": "x", "name": 5}, "name must be text, got the number 5"),
    ({"commands": "x", "env": {"A": True}}, "env.A must be text, got the boolean True"),
    ({"commands": "x", "env": {"A=B": "5"}},
     "env.A=B: the name of a variable cannot be empty or hold '='; choose another"),
    ({"commands": "x", "env": {"SSHJOBS_X": "5"}}, "env.SSHJOBS_X: SSHJOBS_… are set by sshjobs; choose another name"),
    ({"commands": "x\0"}, "commands cannot hold a NUL byte; take it out"),
    ({"argv": ["x", "y\0"]}, "argv cannot hold a NUL byte; take it out"),
    ({"commands": "x", "env": {"A": "\0"}}, "env cannot hold a NUL byte; take it out"),
    ({"commands": "x" * 900_001},
     "job: commands, argv and env together have more than 900,000 bytes; put text into files"),
    ({"commands": "x", "timeout": 0},
     "timeout: a duration must be above zero, got 0; write seconds (90) or units (1s, 2h30m, 1d)"),
    ({"commands": "x", "leftovers": "both"}, "leftovers must be kill or keep, got the text 'both'"),
    ({"commands": "x", "nice": 77}, "nice must be at most 19, got the number 77"),
])
def test_what_makes_no_job_is_a_usage_error_and_adds_nothing(arguments, said):
    builder = Builder()
    with pytest.raises(UsageError) as caught:
        builder.AddJob(**arguments)
    assert str(caught.value) == said
    assert builder.job_specs == []


@pytest.mark.parametrize("repeat", [-1, "3", None, 2.5, True])
def test_set_repeat_takes_whole_numbers_from_zero(repeat):
    builder = Builder()
    with pytest.raises(UsageError):
        builder.SetRepeat(repeat)
    assert builder.repeat == 1


def test_a_jobfile_with_a_mistake_adds_nothing(tmp_path):
    (tmp_path / "j.yaml").write_text("jobs: [{commands: x}, {comands: y}]")
    builder = Builder()
    with pytest.raises(InputError):
        builder.AddJobFile(tmp_path / "j.yaml")
    assert builder.job_specs == []


def test_a_jobfile_may_be_given_as_data():
    assert names(Builder().AddJobFile("-", data=b"jobs: [{name: a, commands: x}]")) == ["a"]


def test_several_jobfiles_are_counted_together():
    builder = Builder().AddJobFile("-", data=b"jobs: [{commands: x, repeat: 10}]")
    with pytest.raises(UsageError, match="1,000,010 jobs"):
        builder.AddJobFile("-", data=b"jobs: [{commands: x, repeat: 1000000}]")
    assert len(builder.job_specs) == 10
