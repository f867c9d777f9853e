"""State is data: nothing is decided by comparing the words that are said about it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.house.source import PACKAGE, modules

#: What texts for people are called, and what asks such a text something.
WORDS = frozenset(("msg", "reason"))
ASKING = frozenset(("startswith", "endswith", "removeprefix", "removesuffix", "find", "index", "partition", "split"))
#: Shows words that are there, and leaves out of them what stands beside them already.
SHOWING = "sshjobs.views"


def named(node: ast.expr) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr in WORDS) or (isinstance(node, ast.Name) and node.id in WORDS)


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def comparisons(tree: ast.AST) -> Iterator[int]:
    """Yield the lines in which words are compared with a text or asked what is in them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(map(named, sides)) and any(map(is_text, sides)):
                yield node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ASKING and named(node.func.value):
                yield node.lineno


def test_nothing_is_decided_by_comparing_words() -> None:
    found = [f"{name}:{line}" for name, module in modules(PACKAGE).items() if not name.startswith(SHOWING)
             for line in comparisons(module.tree)]
    assert found == []


def test_such_a_comparison_is_found() -> None:
    for text in ("job.reason == 'paused'", "'lease' in attempt.reason", "msg.startswith('no such')",
                 "reason.removeprefix('x')"):
        assert list(comparisons(ast.parse(text))) == [1], text
    assert list(comparisons(ast.parse("job.reason is None or frame['msg'] or job.cause == cause"))) == []
