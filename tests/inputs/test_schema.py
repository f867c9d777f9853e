"""The JSON Schema for editors: it knows every key, and no more than the loader does."""

from __future__ import annotations

import json

from sshjobs.inputs.jobfile import jobfile_schema
from sshjobs.inputs.jobmodel import DefaultsEntry, JobEntry, Settings
from sshjobs.model.telling import KEYS


def test_the_schema_names_its_draft_and_is_json():
    schema = jobfile_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(schema)) == schema


def test_every_key_is_described_and_no_other_is_allowed():
    schema = jobfile_schema()
    assert set(schema["properties"]) == {"defaults", "jobs", "manners", "max_failures", "setup", *KEYS}
    assert schema["required"] == ["jobs"]
    for model in (Settings, JobEntry, DefaultsEntry):
        part = schema["$defs"][model.__name__]
        assert part["additionalProperties"] is False
        assert set(part["properties"]) == set(model.model_fields)
    for model in (Settings, JobEntry):
        assert all(key["description"] for key in schema["$defs"][model.__name__]["properties"].values())


def test_the_limits_of_the_loader_are_in_the_schema():
    job = jobfile_schema()["$defs"]["JobEntry"]
    assert (job["properties"]["nice"]["minimum"], job["properties"]["nice"]["maximum"]) == (0, 19)
    assert job["properties"]["leftovers"]["enum"] == ["kill", "keep"]
    assert job["oneOf"] == [{"required": ["commands"]}, {"required": ["argv"]}]
