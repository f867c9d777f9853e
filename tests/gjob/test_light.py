"""JSON and digests as the far side has them: what the large modules say, without them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sshjobs.gjob import light

VALUES: list[Any] = [{}, [], {"a": [1, "b", None, True, False, 1.5, -2]}, "é\ud800\n\"\\", {"a": {"b": [[]]}}, 0, 1e300, "", None]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_json_is_what_json_says(value: Any) -> None:
    assert light.loads(" \t" + json.dumps(value) + "\r\n") == value
    if isinstance(value, dict | list):
        assert light.dumps(value) == json.dumps(value, separators=(",", ":"))


@pytest.mark.parametrize("text", ["", " ", "{", "[1,]", "{} {}", "[]x", "nul", "'a'", '{"a"}', '"\n"', "\u00a01"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        light.loads(text)


def test_where_python_keeps_its_scanner_elsewhere_the_whole_module_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    import _json

    for name, wrong in (("make_scanner", lambda rules: lambda text, at: ({}, len(text))),
                        ("make_encoder", lambda *given: lambda value, level: ["{}"])):
        with monkeypatch.context() as patch:
            patch.setattr(_json, name, wrong)
            loads, dumps = light.make_loads(int, light._constant), light.make_dumps()
            assert loads('{"a":[1,"b"]}') == {"a": [1, "b"]} and dumps([1, {"x": None}]) == '[1,{"x":null}]'
            with pytest.raises(ValueError):
                loads("{")
            patch.setattr(_json, name, None)
            assert light.make_loads(int, light._constant)("[2]") == [2] and light.make_dumps()([2]) == "[2]"
    assert "decode" not in getattr(light.make_loads(int, light._constant), "__name__", ""), "the quick one is in use here"


def test_a_digest_is_sha256() -> None:
    assert light.sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
