"""JSON and digests as the far side has them: what the large modules say, without them."""

from __future__ import annotations

import _ctypes
import ctypes  # noqa: F401  (so that it is loaded when the test takes away what it is made of)
import json
import subprocess
import sys
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


@pytest.mark.parametrize("known", [True, False], ids=["_ctypes", "ctypes"])
def test_a_function_of_the_c_library_is_called(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not known:
        monkeypatch.delattr(_ctypes, "CFuncPtr")
    assert light.c_function("abs")(-3) == 3
    with pytest.raises(AttributeError):
        light.c_function("no_such_function")


def test_garbage_is_looked_for_again_among_what_is_new() -> None:
    said = subprocess.run([sys.executable, "-c", """
import gc
from sshjobs.gjob import light
light.collect_garbage(False)
assert not gc.isenabled()
light.collect_garbage(True)
assert gc.isenabled() and gc.get_freeze_count() > 1000
class Cycle: pass
one = Cycle()
one.itself, ended = one, []
import weakref
weakref.finalize(one, ended.append, 1)
del one
gc.collect()
assert ended == [1]
"""], capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (0, "")
