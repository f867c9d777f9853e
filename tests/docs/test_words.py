"""The pages that list words of the code list all of them, and no others."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from sshjobs.model.causes import EndCause
from sshjobs.model.states import STATES, Outcome, state_for
from sshjobs.network.transport import TRANSPORTS
from sshjobs.network.transport.causes import CAUSES
from tests.house.source import PACKAGE, ROOT, functions, modules

_ROW = re.compile(r"^ *\| `([a-z_-]+)` \| ([^|]*?) \|", re.MULTILINE)


def test_the_table_of_troubles_has_every_kind_of_host_error_and_no_other() -> None:
    assert set(_table("troubleshooting.md", "Hosts that cannot be used")) == set(_kinds())


def test_the_table_of_troubles_tells_truly_what_is_tried_again() -> None:
    told = _table("troubleshooting.md", "Hosts that cannot be used")
    assert {kind: told[kind] for kind in CAUSES} == {
        kind: "no" if cause.lasting else "yes" for kind, cause in CAUSES.items()}


def test_the_page_of_causes_has_each_of_them_and_no_other() -> None:
    assert set(_table("why.md", "Causes")) == set(map(str, EndCause))


def test_the_page_of_transports_has_each_of_them_in_its_first_table() -> None:
    assert [name for name in _table("transports.md", "# Transports") if name != "--transport"] == list(TRANSPORTS)


def test_the_glossary_has_the_five_states_and_every_outcome() -> None:
    rows = _table("glossary.md", "Where a job stands")
    assert set(rows) == {*STATES, *map(str, Outcome)}
    assert {outcome: rows[outcome].strip("`") for outcome in map(str, Outcome)} == {
        str(outcome): state_for(outcome) for outcome in Outcome}


def test_the_architecture_names_every_part_of_the_house() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    section = text.partition("## The house")[2].partition("\n## ")[0]
    named = {name for row in re.findall(r"^\| \d? ?\| ([^|]*) \|", section, re.MULTILINE)
             for name in re.findall(r"`(\w+)`", row)}
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert named == {part for part in parts if not part.startswith("__")}


def _table(page: str, heading: str) -> dict[str, str]:
    """First and second cells of the tables below a heading, up to the next one."""
    section = re.split(r"^## ", (ROOT / "docs" / page).read_text(), flags=re.MULTILINE)
    text = next(part for part in section if part.startswith(heading))
    return dict(_ROW.findall(text))


def _kinds() -> Iterator[str]:
    """Every kind that a HostError can have: given to it, sent by the far side, or told by the first stage."""
    yield from CAUSES
    for module in modules(PACKAGE).values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("HostError", "host_error", "Unusable"):
                yield from _words(node.args[0])
            elif isinstance(node, ast.Dict):
                pairs = {key.value: value for key, value in zip(node.keys, node.values, strict=True)
                         if isinstance(key, ast.Constant)}
                if "t" in pairs and set(_words(pairs["t"])) == {"refused"}:
                    yield from _words(pairs["kind"])
                yield from (str(key) for key, value in pairs.items() if "SSHJOBS-" in ast.unparse(value))
        for name, function in functions(module):
            if name == "sshjobs.gjob.places._kind":
                for node in ast.walk(function):
                    if isinstance(node, ast.Return) and node.value is not None:
                        yield from _words(node.value)


def _words(node: ast.expr) -> Iterator[str]:
    """The words that an expression may give, its conditions left out."""
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.IfExp):
        yield from _words(node.body)
        yield from _words(node.orelse)
