"""What the house tests know of the source: files, imports and functions, read by ast, nothing executed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "sshjobs"


@dataclass(frozen=True)
class Module:
    """One source file of a package.

    :param name: dotted, from the package's own name on (``sshjobs.store.rows``).
    """

    name: str
    path: Path
    tree: ast.Module
    is_package: bool

    @property
    def lines(self) -> int:
        """Lines of the file, blank ones and comments included."""
        return len(self.path.read_text(encoding="utf-8").splitlines())


@dataclass(frozen=True)
class Import:
    """One imported name: ``from a.b import c`` gives ``a.b.c``, ``import a.b`` gives ``a.b``.

    :param for_types: under ``if TYPE_CHECKING`` (in gjob ``if MYPY``), so never carried out.
    """

    target: str
    line: int
    for_types: bool


def modules(package: Path = PACKAGE) -> dict[str, Module]:
    """Every module under a package's directory, by dotted name.

    :raises SyntaxError: one of them does not parse.
    """
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        found[name] = Module(name, path, tree, is_package)
    return found


def imports(module: Module) -> Iterator[Import]:
    """Every import of a module, those inside functions and those for types only included."""
    for_types = {
        id(inner)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] in ("TYPE_CHECKING", "MYPY")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, id(node) in for_types)
        elif isinstance(node, ast.ImportFrom):
            base = _base(module, node)
            for alias in node.names:
                yield Import(f"{base}.{alias.name}" if base else alias.name, node.lineno, id(node) in for_types)


def _base(module: Module, node: ast.ImportFrom) -> str:
    """The absolute module that a ``from … import`` names."""
    if not node.level:
        return node.module or ""
    package = module.name.split(".")
    drop = node.level - (1 if module.is_package else 0)
    package = package[: len(package) - drop]
    return ".".join([*package, *(node.module.split(".") if node.module else [])])


def internal_imports(found: dict[str, Module]) -> dict[str, set[str]]:
    """For each module the modules of the same package that it imports when run, itself left out."""
    edges: dict[str, set[str]] = {}
    for name, module in found.items():
        targets = {_nearest(item.target, found) for item in imports(module) if not item.for_types}
        edges[name] = {target for target in targets if target and target != name}
    return edges


def _nearest(target: str, found: dict[str, Module]) -> str | None:
    """The module that holds an imported name: the name itself or, for a function or class, its parent."""
    if target in found:
        return target
    parent = target.rpartition(".")[0]
    return parent if parent in found else None


def functions(module: Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function and method of a module with its qualified name, nested ones too."""
    yield from _functions_in(module.tree, module.name)


def _functions_in(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        inner = prefix
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = f"{prefix}.{child.name}"
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield inner, child
        yield from _functions_in(child, inner)
