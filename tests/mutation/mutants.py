"""Which faults there are: every place where an operator of cosmic-ray can change a module, and a seeded sample of them."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.house.source import ROOT

#: What is mutated: the parts that keep the promises.
SCOPE = ("sshjobs/gjob", "sshjobs/scheduling", "sshjobs/store", "sshjobs/network/protocol")
#: Operators whose faults people make: a condition turned round, a bound off by one, a loop left early, an error not caught.
#: One replacement for each kind of arithmetic is enough.
OPERATORS = (
    "AddNot", "ExceptionReplacer", "NumberReplacer", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak", "ReplaceFalseWithTrue", "ReplaceTrueWithFalse", "ZeroIterationForLoop",
    "ReplaceBinaryOperator_Add_Sub", "ReplaceBinaryOperator_Sub_Add", "ReplaceBinaryOperator_Mul_Div",
    "ReplaceBinaryOperator_BitAnd_BitOr", "ReplaceBinaryOperator_BitOr_BitAnd",
    "ReplaceComparisonOperator_Lt_LtE", "ReplaceComparisonOperator_LtE_Lt", "ReplaceComparisonOperator_Gt_GtE",
    "ReplaceComparisonOperator_GtE_Gt", "ReplaceComparisonOperator_Eq_NotEq", "ReplaceComparisonOperator_NotEq_Eq",
    "ReplaceComparisonOperator_Is_IsNot", "ReplaceComparisonOperator_IsNot_Is", "ReplaceUnaryOperator_Delete_Not",
)


@dataclass(frozen=True, order=True)
class Mutant:
    """One fault: the n-th place in a file where an operator applies."""

    path: str
    operator: str
    occurrence: int
    line: int

    @property
    def name(self) -> str:
        return f"{self.path}:{self.line} {self.operator} {self.occurrence}"


def every_mutant() -> Iterator[Mutant]:
    """Yield all faults of the scope, in order."""
    for directory in SCOPE:
        for path in sorted((ROOT / directory).rglob("*.py")):
            yield from of_file(path.relative_to(ROOT))


def of_file(path: Path) -> Iterator[Mutant]:
    """Yield the faults of one file. What is only for types and what only documents is left out."""
    from cosmic_ray.ast import get_ast_from_path

    source = (ROOT / path).read_text(encoding="utf-8")
    silent = _silent_lines(source)
    tree = get_ast_from_path(ROOT / path)
    for operator in OPERATORS:
        occurrence = 0
        for node in _nodes(tree):
            for (line, _), _ in _operator(operator).mutation_positions(node):
                if line not in silent:
                    yield Mutant(str(path), operator, occurrence, line)
                occurrence += 1


def _nodes(node: object) -> Iterator[object]:
    yield node
    for child in getattr(node, "children", ()):
        yield from _nodes(child)


def _silent_lines(source: str) -> set[int]:
    """Return the lines that nothing is carried out on: annotations, imports for types, docstrings."""
    found: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        quiet = isinstance(node, ast.If) and ast.unparse(node.test) in ("MYPY", "TYPE_CHECKING")
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        if isinstance(node, ast.stmt) and (quiet or text):
            found.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        if isinstance(node, ast.Assign) and ast.unparse(node) == "MYPY = False":
            found.add(node.lineno)
    return found


@cache
def _operator(name: str) -> Any:
    from cosmic_ray.plugins import get_operator

    return get_operator(f"core/{name}")()


def mutated(mutant: Mutant) -> str:
    """Return the source of a mutant's file with its fault in it."""
    from cosmic_ray.mutating import mutate_code

    source = (ROOT / mutant.path).read_text(encoding="utf-8")
    text = mutate_code(source, _operator(mutant.operator), mutant.occurrence)
    assert text is not None and text != source, mutant.name
    return str(text)


def sample(number: int, seed: int) -> list[Mutant]:
    """Return a number of faults drawn from all. The same seed gives the same ones on the same code."""
    everything = list(every_mutant())
    return random.Random(seed).sample(everything, min(number, len(everything)))
