"""Which faults there are: every place where an operator of cosmic-ray can change a module, and a seeded sample of them."""

from __future__ import annotations

import ast
import difflib
import random
from collections import Counter
from collections.abc import Iterator, Sequence
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
    """One fault: the n-th place in a file where an operator applies.

    :ivar nth: which one of that operator on its line, from 0
    """

    path: str
    operator: str
    occurrence: int
    line: int
    nth: int

    @property
    def name(self) -> str:
        return f"{self.path}:{self.line} {self.operator} {self.occurrence}"


def every_mutant(root: Path = ROOT) -> Iterator[Mutant]:
    """Yield all faults of the scope, in order."""
    for directory in SCOPE:
        for path in sorted((root / directory).rglob("*.py")):
            yield from of_file(path.relative_to(root), root)


def of_file(path: Path, root: Path = ROOT) -> Iterator[Mutant]:
    """Yield the faults of one file. What is only for types and what only documents is left out."""
    from cosmic_ray.ast import get_ast_from_path

    parsed = ast.parse((root / path).read_text(encoding="utf-8"))
    silent, arithmetic = _silent_lines(parsed), list(_arithmetic(parsed))
    nodes = list(_nodes(get_ast_from_path(root / path)))
    for operator in OPERATORS:
        seen = Counter[int]()
        for node in nodes:
            for (line, column), _ in _operator(operator).mutation_positions(node):
                at = line, column
                real = "Binary" not in operator or any(begin <= at < end for begin, end in arithmetic)
                if line not in silent and real:
                    yield Mutant(str(path), operator, seen.total(), line, seen[line])
                seen[line] += 1


def _nodes(node: object) -> Iterator[object]:
    yield node
    for child in getattr(node, "children", ()):
        yield from _nodes(child)


def _arithmetic(tree: ast.AST) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield where arithmetic is done: not in types, and no star in front of arguments."""
    for name, field in ast.iter_fields(tree):
        for node in field if isinstance(field, list) else [field]:
            if isinstance(node, ast.AST) and name not in ("annotation", "returns"):
                yield from _arithmetic(node)
    if isinstance(tree, ast.BinOp):
        yield (tree.left.end_lineno or 0, tree.left.end_col_offset or 0), (tree.right.lineno, tree.right.col_offset)


def _silent_lines(tree: ast.AST) -> set[int]:
    """Return the lines that nothing is carried out on: annotations, imports for types, docstrings."""
    found: set[int] = set()
    for node in ast.walk(tree):
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


def mutated(mutant: Mutant, root: Path = ROOT) -> str:
    """Return the source of a mutant's file with its fault in it."""
    from cosmic_ray.mutating import mutate_code

    source = (root / mutant.path).read_text(encoding="utf-8")
    text = mutate_code(source, _operator(mutant.operator), mutant.occurrence)
    assert text is not None and text != source, mutant.name
    return str(text)


def sample(everything: Sequence[Mutant], number: int, seed: int) -> list[Mutant]:
    """Return a number of faults drawn from all. The same seed gives the same ones on the same code."""
    return random.Random(seed).sample(everything, min(number, len(everything)))


def found_again(mutant: Mutant, then: str, now: str, root: Path = ROOT) -> Mutant | None:
    """Return a fault of an earlier text of its file in the file as it is now; None where its line has changed."""
    lines = {earlier: line for line, earlier in earlier_lines(then, now).items()}
    if mutant.line not in lines:
        return None
    line = lines[mutant.line]
    return next((one for one in of_file(Path(mutant.path), root)
                 if (one.operator, one.line, one.nth) == (mutant.operator, line, mutant.nth)), None)


def earlier_lines(then: str, now: str) -> dict[int, int]:
    """Return for each line of a file that has not changed since which line it was then."""
    blocks = difflib.SequenceMatcher(None, then.splitlines(), now.splitlines(), autojunk=False).get_matching_blocks()
    return {block.b + n + 1: block.a + n + 1 for block in blocks for n in range(block.size)}
