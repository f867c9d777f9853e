"""Specs that share texts with placeholders: each tells them with its own values."""

from __future__ import annotations

import json
from copy import copy
from typing import Any

import pytest

from sshjobs.errors import UsageError
from sshjobs.model.fill import filled, names_in, pieces
from sshjobs.model.spec import JobSpec
from sshjobs.model.template import TemplateSpec, from_shared, packed, unpacked, with_parameters
from sshjobs.store.rows import spec_json


def swept() -> list[JobSpec]:
    base = with_parameters(JobSpec(argv=["run", "${{ a }}"], name="t", entry="t", env={"A": "<${{ a }}>", "B": "${{ b }}"},
                                   files=["$${{ a }}"], cwd="/${{ a }}"), ["a", "b"], ["argv", "env", "files"])
    return [base.named("t-1", 1, ("1", "x")), base.named("t-2", 1, ("${{ b }}", None))]


def test_each_tells_the_texts_with_its_values() -> None:
    one, two = swept()
    assert (one.argv, one.env, one.files) == (["run", "1"], {"A": "<1>", "B": "x"}, ["${{ a }}"])
    assert (two.argv, two.env) == (["run", "${{ b }}"], {"A": "<${{ b }}>", "B": ""}), "a value is text, whatever it holds"
    assert one.cwd == "/${{ a }}", "what is not said to hold placeholders is text"
    assert one.repeats(two) and one.kind == two.kind and copy(two).argv == two.argv


def test_what_is_set_holds_for_one_alone_and_is_text() -> None:
    one, two = swept()
    one.env = {"A": "${{ a }}"}
    one.stdin = "${{ a }}"
    assert (one.env, one.stdin, two.env["B"], two.stdin) == ({"A": "${{ a }}"}, "${{ a }}", "", None)
    one.env["A"] = "changed"
    two.env["A"] = "made anew each time"
    assert one.env == {"A": "changed"} and two.env["A"] == "<${{ b }}>"


def test_specs_go_through_the_store_and_over_the_socket_with_what_they_share_said_once() -> None:
    specs = [*swept(), JobSpec("alone", name="z"), *swept()]
    data = json.loads(json.dumps(packed(specs)))
    assert len(data) == 3 and json.dumps(data).count("run") == 2
    again = unpacked(data)
    assert [spec.as_dict() for spec in again] == [spec.as_dict() for spec in specs]
    assert again[0].repeats(again[1]) and not again[0].repeats(again[3])
    kept = from_shared(json.loads(spec_json(specs[1]))).named("t-2", 1, specs[1].values)
    assert isinstance(kept, TemplateSpec) and kept.as_dict() == specs[1].as_dict()
    assert [spec.name for spec in unpacked([specs[0].as_dict(), JobSpec("x", name="y").as_dict()])] == ["t-1", "y"]


@pytest.mark.parametrize("change", [
    {"shared": []}, {"shared": {"cmds": ["x"], "templates": ["name"]}}, {"shared": {"cmds": ["x"], "param_names": "a"}},
    {"shared": {"cmds": ["x"], "nonsense": 1}}, {"shared": {}}, {"jobs": None}, {"jobs": [["n", 1]]}, {"jobs": [["n", "1", []]]},
    {"jobs": [["n", 1, [1, "x"]]]}, {"jobs": [["n", 1, ["x"]]]}, {"jobs": [5]},
])
def test_what_describes_no_specs_is_refused(change: dict[str, Any]) -> None:
    (data,) = packed(swept())
    with pytest.raises(UsageError):
        unpacked([{**data, **change}])
    others: list[Any] = [None, {}, [5], [None]]
    for wrong in others:
        with pytest.raises(UsageError):
            unpacked(wrong)


def test_placeholders_are_found_and_filled() -> None:
    assert names_in(["${{a}} ${{ b }}", {"${{ c }}": "${{ a }}$${{ d }}"}]) == ["a", "b", "c"]
    assert filled({"k-${{ a }}": ["${{ a }}${{\ta\t}}", 5, None, "$$${{ a }}", "$$"]}, {"a": "1"}) == {
        "k-1": ["11", 5, None, "$${{ a }}", "$$"]}
    assert pieces("plain") == ("plain",) and pieces("") == ()
    for text in ("${{ }}", "${{ a b }}", "${{ a", "${{\na }}", "${{ é }}", "${{ a } }}", "${{ raw: }}"):
        with pytest.raises(UsageError):
            pieces(text)
