"""YAML as we load it: the data of ``yaml.safe_load``, a place for everything, and nothing that explodes."""

from __future__ import annotations

import gc
import math
import resource
import textwrap
from datetime import date
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sshjobs.errors import InputError
from sshjobs.inputs import yamlevents
from sshjobs.inputs.yamlevents import load
from sshjobs.inputs.yamltree import Map, Seq

PARSERS = [parser for parser in (getattr(yaml, "CSafeLoader", None), yaml.SafeLoader) if parser is not None]


@pytest.fixture(params=PARSERS, ids=lambda parser: parser.__name__)
def parser(request, monkeypatch):
    """Both parsers that PyYAML may bring."""
    monkeypatch.setattr(yamlevents, "_Parser", request.param)
    return request.param


def said(text: str | bytes) -> list[str]:
    """What is wrong with a text."""
    data = text if isinstance(text, bytes) else textwrap.dedent(text).encode()
    try:
        return [str(problem) for problem in load(data, "j").problems]
    except InputError as error:
        return [str(problem) for problem in error.problems]


def root(text: str) -> Any:
    document = load(textwrap.dedent(text).encode(), "j")
    assert document.problems == []
    return document.root


SCALARS = (st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
           | st.dates(min_value=date(1000, 1, 1)) | st.text(st.characters(exclude_categories=["Cc", "Cs"]))
           | st.sampled_from(["no", "1:30", "0755", "1e3", "~", "=", "<<", "2024-01-01", "0x1F", "1_000", ".5", "-"]))
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["Cc"]), max_size=12)
DOCUMENTS = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=5)
                         | st.dictionaries(TEXT, inner, max_size=5), max_leaves=20)


@given(DOCUMENTS, st.booleans(), st.integers(20, 200))
@settings(max_examples=200, deadline=None)
def test_plain_documents_are_what_safe_load_makes_of_them(data, flow, width):
    text = yaml.safe_dump(data, default_flow_style=flow, width=width, allow_unicode=True)
    document = load(text.encode(), "j")
    assert document.problems == []
    assert document.root == yaml.safe_load(text)


@given(st.text(st.sampled_from("ab1:- \n[]{},?#&*!|>'\"%@<~0.=\\\tx_é"), max_size=60))
@example("a: &x [*x]")
@example("<<: [a]")
@example("{a: 1, <<: {b: 2}}")
@example("? {a: b}\n: c")
@example("a: 1_")
@example("&a a: *a")
@settings(max_examples=600, deadline=None)
def test_any_text_is_loaded_like_safe_load_or_refused(text):
    try:
        document = load(text.encode(), "j")
    except InputError:
        return
    # "=" and "<<" as values have a meaning in YAML 1.1 that safe_load refuses: here they are text.
    if not document.problems and "=" not in text and "<<" not in text.replace("<<:", ""):
        assert document.root == yaml.load(text, PARSERS[0])


@pytest.mark.parametrize("text", [
    "base: &base {a: 1, b: 2}\nother: {<<: *base, b: 3}",
    "x: &x {a: 1}\ny: &y {a: 2, b: 2}\nz:\n  c: 0\n  <<: [*x, *y]",
    "x: &x {a: 1}\ny: &y {<<: *x, b: 2}\nz: {<<: *y}",
    "a: &a [1, 2]\nb: *a\nc: [*a, *a]",
    "&k key: 1\nother: *k",
    "text: |\n  one\n   two\nfolded: >-\n  a\n  b\n",
    "\N{ZERO WIDTH NO-BREAK SPACE}a: 1",
    "a: 'b'\r\nc: d\r\n",
])
def test_merges_aliases_blocks_marks_and_line_ends_are_what_safe_load_makes_of_them(text, parser):
    document = load(text.encode(), "j")
    assert document.problems == []
    assert document.root == yaml.safe_load(text)


def test_every_key_value_and_item_knows_its_place(parser):
    top = root("""\
        jobs:
          - name: é
            env: {A: 1, "B":   two}
        """)
    assert isinstance(top, Map)
    job = top["jobs"][0]
    assert (top.key_place("jobs"), top.value_place("jobs")) == ((1, 1), (2, 3))
    assert isinstance(top["jobs"], Seq)
    assert top["jobs"].value_place(0) == job.place == (2, 5)
    assert job.value_place("name") == (2, 11)
    assert (job["env"].key_place("B"), job["env"].value_place("B")) == ((3, 17), (3, 24))


def test_what_does_not_exist_is_at_the_place_of_its_holder(parser):
    top = root("a: [1]")
    assert top.key_place("b") == top.value_place("b") == (1, 1)
    assert top["a"].value_place(7) == (1, 4)


def test_what_a_merge_brings_is_where_it_was_written(parser):
    top = root("""\
        base: &b
          x: 1
        job: {<<: *b, y: 2}
        """)
    assert top["job"].value_place("x") == (2, 6)
    assert top["job"].value_place("y") == (3, 18)


def test_how_a_value_was_written_is_kept(parser):
    top = root("{a: 0755, b: no, c: '1', d: [x, 1:30], e: ~}")
    assert top.sources == {"a": "0755", "b": "no", "e": "~"}
    assert top["d"].sources == {1: "1:30"}
    assert root("{a: b}").sources is None


@pytest.mark.parametrize(("text", "expected"), [
    ("a: 1\nb: 2\na: 3\n", "j:3:1: duplicate key 'a' (first on line 1); keep one of them"),
    ("a: !!python/object/apply:os.system [x]",
     "j:1:4: tags are not allowed, got !!python/object/apply:os.system; take it out"),
    ("a: !!str 5", "j:1:4: tags are not allowed, got !!str; take it out"),
    ("a: !x {b: c}", "j:1:4: tags are not allowed, got !x; take it out"),
    ("- ! [a]", "j:1:3: tags are not allowed, got !; take it out"),
    ("5: a", "j:1:1: a key must be text, got the number 5; quote it"),
    ("no: a", "j:1:1: a key must be text, got the boolean no; quote it"),
    ("? ~\n: a", "j:1:3: a key must be text, got nothing; quote it"),
    ("? [a]\n: b", "j:1:3: a key must be text, got a list; give it a name"),
    ("? {a: b}\n: b", "j:1:3: a key must be text, got a mapping; give it a name"),
    ("a: 1\n---\nb: 2", "j:2:1: a second document begins here; keep one in each file"),
    ("a: *b", "j:1:4: alias *b: there is no &b above it; define it first"),
    ("a: &b [*b]", "j:1:8: alias *b stands inside &b: it would never end; take it out"),
    ("a: &b {c: {d: *b}}", "j:1:15: alias *b stands inside &b: it would never end; take it out"),
    ('a: "x\\0y"', "j:1:4: a NUL byte is not allowed; take \\0 out"),
    ("a: 2024-13-45", "j:1:4: '2024-13-45' looks like a number or a date and is none; quote it"),
    ("a: " + "9" * 500, f"j:1:4: '{'9' * 60}' looks like a number or a date and is none; quote it"),
    ("<<: 5", "j:1:5: << takes a mapping or a list of them, got the number 5"),
    ("{<<: {a: 1}, <<: {b: 2}}", "j:1:14: duplicate key '<<'; write << : [*a, *b] instead"),
    ("[" * 80, "j:1:65: nested more than 64 deep; make it flatter"),
    ("- " * 80, "j:1:129: nested more than 64 deep; make it flatter"),
    (b"a: \xff", "j:1:4: not valid UTF-8 at byte 3 (0xff); save it as UTF-8"),
    ("\u00e9\u00e9: b".encode() + b"\xff", "j:1:6: not valid UTF-8 at byte 7 (0xff); save it as UTF-8"),
    (b"\xff\xfea\0", "j:1:1: not valid UTF-8 at byte 0 (0xff); it is UTF-16; save it as UTF-8"),
    (b"\xef\xbb\xbfa: b\nc: \xc3", "j:2:4: not valid UTF-8 at byte 11 (0xc3); save it as UTF-8"),
    (b"a: b\nc: x\0y", "j:2:5: a NUL byte at byte 9 is not allowed; take it out"),
    (b"a: \x1b[0m", "j:1:4: control character U+001B at byte 3 is not allowed; take it out"),
    ("a: \x80".encode(), "j:1:4: control character U+0080 at byte 3 is not allowed; take it out"),
    (b"a: b\rc: d", "j:1:5: a carriage return that ends no line at byte 4 is not allowed; take it out"),
])
def test_a_mistake_is_one_line_with_its_place(text, expected, parser):
    assert said(text) == [expected]


@pytest.mark.parametrize(("text", "place", "hint"), [
    ("a:\n\t- b\n", "j:2:1: not valid YAML: ", "a tab cannot indent; use spaces"),
    ("a: b: c\n", "j:1:5: not valid YAML: ", "check quotes, colons and indentation here"),
    ("a: 'x' y\n", "j:1:8: not valid YAML: ", "check quotes, colons and indentation here"),
    ("a: [b\n", "j:2:1: not valid YAML: ", "check quotes, colons and indentation here"),
    ("a: %x\n", "j:1:4: not valid YAML: ", "check quotes, colons and indentation here"),
])
def test_broken_yaml_is_one_line_with_its_place(text, place, hint):
    (line,) = said(text)
    assert line.startswith(place)
    assert line.endswith(hint)
    assert "\n" not in line


def test_half_a_character_is_refused_by_both_parsers(parser):
    (line,) = said('a: "\\ud800"')
    assert line.startswith("j:1:")


def test_all_mistakes_that_do_not_hide_the_rest_are_found_in_one_go(parser):
    assert len(said("a: !x 1\na: 2\n3: *q\nb: &b [*b]\n")) == 5


def bomb(depth: int) -> str:
    lines = ["a0: &a0 [" + ", ".join("x" * 9) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, depth)]
    return "\n".join(lines)


@pytest.mark.parametrize("depth", [7, 10, 50])
def test_an_alias_bomb_is_refused_before_it_grows(depth, parser):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (line,) = said(bomb(depth))
    assert line == "j:6:10: aliases bring in more than 100,000 values; write them out"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024  # KiB


def test_an_alias_bomb_of_merges_is_refused_too():
    keys = ", ".join(f"k{n}: [{', '.join('x' * 100)}]" for n in range(100))
    uses = "\n".join(f"m{n}: {{<<: *a}}" for n in range(200))
    assert "aliases bring in more than" in said(f"a: &a {{{keys}}}\n{uses}\n")[0]


def test_many_jobs_may_share_one_mapping_by_alias():
    document = load(b"base: &b {a: 1, b: 2, c: 3}\njobs:\n" + b"- {<<: *b, d: 4}\n" * 5000, "j")
    assert document.problems == []
    assert len(document.root["jobs"]) == 5000


def test_too_large_a_document_is_refused_unread(monkeypatch):
    monkeypatch.setattr(yamlevents, "MAX_BYTES", 2**20)
    assert said(b"#" * (2**20 + 1)) == ["j: is larger than 1 MiB, the limit; split it into several files"]


def test_too_many_values_are_refused(monkeypatch):
    monkeypatch.setattr(yamlevents, "MAX_NODES", 10)
    assert said("[" + "a," * 20 + "]") == ["j:1:20: more than 10 values; use repeat, or several files"]


@pytest.mark.parametrize("was_on", [True, False])
@pytest.mark.parametrize("data", [b"a: b", b"a: b: c", b"\xff"])
def test_the_garbage_collector_is_left_as_it_was(was_on, data):
    try:
        gc.enable() if was_on else gc.disable()
        said(data)
        assert gc.isenabled() is was_on
    finally:
        gc.enable()


def test_infinities_are_numbers_like_in_safe_load():
    top = root("{a: .inf, b: -.inf, c: .nan}")
    assert (top["a"], top["b"]) == (math.inf, -math.inf)
    assert math.isnan(top["c"])


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_file_has_no_root(text, parser):
    document = load(text.encode(), "j")
    assert (document.root, document.problems) == (None, [])
