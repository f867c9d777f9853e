"""``sshjobs init`` and ``sshjobs schema``: a jobfile to begin with, and what explains jobfiles to editors."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from sshjobs.errors import InputError
from sshjobs.inputs.jobfile import load_jobfile
from sshjobs.inputs.jobmodel import JobEntry
from tests.cli.here import call_here
from tests.hints import tries
from tests.house.source import ROOT
from tests.inputs.test_pages import JOBFILE_PAGE

EXAMPLES = sorted([*(ROOT / "jobfiles").glob("*.yaml"), *(ROOT / "jobfiles").glob("*.json*")])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def validator() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json.loads(call_here("schema").stdout))


def documents(path: Path) -> list[object]:
    text = path.read_text()
    return [{"jobs": [json.loads(line) for line in text.splitlines() if line]}] if path.suffix == ".jsonl" else [yaml.safe_load(text)]


@tries("{} is written; edit it, then: sshjobs run {} --dry-run")
def test_a_jobfile_to_begin_with_runs_as_it_is(clean_home: Path, here: Path) -> None:
    told = call_here("init")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == "jobs.yaml is written; edit it, then: sshjobs run jobs.yaml --dry-run\n"
    assert call_here("run", "jobs.yaml", "--dry-run").stdout.endswith("3 jobs on this machine; nothing was started\n")
    told = call_here("run", "jobs.yaml", "-q")
    assert told.returncode == 0, told.stderr
    assert call_here("table", "--columns", "job,number").stdout.split() == ["job", "number", "hello-1", "1", "hello-2", "2", "hello-3", "3"]


def test_its_comments_are_right_and_name_every_key(here: Path) -> None:
    call_here("init", "my jobs.yml")
    text = Path("my jobs.yml").read_text()
    assert "sshjobs run 'my jobs.yml' --dry-run" in text
    assert all(len(line) <= 120 for line in text.splitlines())
    keys = re.findall(r"^#   (\w+) +\S", text.partition("All that a job may say")[2], re.MULTILINE)
    assert keys == list(JobEntry.model_fields)
    Path("data").mkdir()
    for name in ("train.py", "words.txt"):
        Path(name).touch()
    # The commented jobs are behind the list, at its indentation.
    whole = re.sub(r"^#(  .*)$", r"\1", text.partition("# All that")[0], flags=re.MULTILINE)
    whole = "".join(line for line in whole.splitlines(keepends=True) if line.startswith(("  ", "jobs", "defaults")))
    whole = re.sub(r"^  +(sshjobs|yaml-language).*\n", "", whole, flags=re.MULTILINE)
    assert [entry.spec.name for entry in load_jobfile("jobs.yaml", whole.encode())] == ["hello", "count", "train", "report"]


def test_nothing_is_overwritten(here: Path) -> None:
    Path("jobs.yaml").write_text("mine")
    Path("link.yaml").symlink_to("nowhere")
    os.mkfifo("pipe.yaml")
    for name in ("jobs.yaml", "link.yaml", "pipe.yaml"):
        told = call_here("init", name)
        assert (told.returncode, told.stdout) == (2, "")
        assert told.stderr == f"sshjobs: {name}: there is such a file already, and it is left as it is; name another: sshjobs init FILE\n"
    assert Path("jobs.yaml").read_text() == "mine" and not Path("nowhere").exists()
    told = call_here("init", "no/such/place.yaml")
    assert (told.returncode, told.stderr) == (
        1, "sshjobs: no/such/place.yaml: it cannot be written: No such file or directory; name another: sshjobs init FILE\n")


def test_every_example_is_right_by_the_schema(validator: jsonschema_rs.Draft202012Validator) -> None:
    assert len(EXAMPLES) >= 1
    for path in EXAMPLES:
        for document in documents(path):
            assert [str(error) for error in validator.iter_errors(document)] == [], path.name


def test_the_schema_takes_what_the_page_takes_and_not_what_it_refuses(validator: jsonschema_rs.Draft202012Validator) -> None:
    for text in JOBFILE_PAGE.split("```yaml jobfile\n")[1:]:
        document = yaml.safe_load(text.partition("\n```")[0])
        assert [str(error) for error in validator.iter_errors(document)] == [], text
    refused: list[object] = [
        {"jobs": []}, {"jobs": [{"name": "a"}]}, {"jobs": [{"argv": ["a"], "commands": ["b"]}]}, {"job": []}, [],
        {"jobs": [{"argv": ["a"], "nice": 20}]}, {"jobs": [{"argv": ["a"], "comands": 1}]},
        {"jobs": [{"argv": ["a"], "env": {"SSHJOBS_A": "b"}}]}, {"jobs": [{"argv": ["a"]}], "defaults": {"name": "x"}},
        {"jobs": [{"argv": ["a"], "after": {"b": {"when": "never"}}}]}]
    for wrong in refused:
        assert not validator.is_valid(wrong), wrong
        with pytest.raises(InputError):
            load_jobfile("x.json", json.dumps(wrong).encode())


def test_what_init_writes_is_right_by_the_schema(here: Path, validator: jsonschema_rs.Draft202012Validator) -> None:
    call_here("init")
    assert validator.is_valid(yaml.safe_load(Path("jobs.yaml").read_text()))
