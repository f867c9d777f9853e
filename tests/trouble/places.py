"""Every place in a piece of source code that may make a system call, found in its syntax tree.

``listed`` names them; ``instrumented`` lets each call of them go through a function that may have it fail. The far side's
code can be read in the same way: nothing here knows which side it is.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

#: What an instrumented module calls instead: with the key of the place, the function and its arguments.
HOOK = "__place__"
#: Functions of modules, by module.
FUNCTIONS = {
    "os": {"open", "close", "read", "write", "pread", "pwrite", "fsync", "stat", "lstat", "fstat", "mkdir", "rename",
           "replace", "unlink", "remove", "rmdir", "listdir", "scandir", "readlink", "symlink", "link", "chmod", "fchmod",
           "pipe", "dup2", "truncate", "ftruncate", "getcwd", "statvfs", "utime", "makedirs", "splice", "set_blocking",
           "sync", "fork", "waitpid", "mkfifo"},
    "shutil": {"rmtree", "copy", "copyfile", "copytree", "move", "disk_usage"},
    "tempfile": {"mkstemp", "mkdtemp", "TemporaryDirectory", "NamedTemporaryFile"},
    "subprocess": {"Popen", "run"},
    "socket": {"socket", "socketpair", "create_connection", "gethostname"},
    "sqlite3": {"connect"},
    "resource": {"getrlimit", "setrlimit", "prlimit"},
    "fcntl": {"fcntl", "flock", "ioctl"},
    "select": {"select"},
}
#: Methods of paths, files, sockets, connections and threads. Others have methods of these names too: what is called
#: decides (see ``tests.trouble.inject``).
METHODS = {
    "stat", "lstat", "exists", "is_file", "is_dir", "mkdir", "unlink", "rmdir", "rename", "replace", "read_text", "read_bytes",
    "write_text", "write_bytes", "open", "iterdir", "touch", "chmod", "symlink_to", "readlink",
    "read", "readinto", "readline", "write", "flush", "close", "seek",
    "bind", "listen", "accept", "connect", "recv", "sendall", "makefile",
    "execute", "executemany", "executescript", "backup", "fetchone", "fetchall",
    "start",
}


class Place(NamedTuple):
    """One call. ``key`` is ``file:line:column``, with the file as it is told to us."""

    file: str
    line: int
    column: int
    call: str

    @property
    def key(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


def _named(function: ast.expr) -> bool:
    """Tell whether a call of this may be one of the system."""
    match function:
        case ast.Name("open"):
            return True
        case ast.Attribute(ast.Name(module), name) if module in FUNCTIONS:
            return name in FUNCTIONS[module]
        case ast.Attribute(ast.Attribute(ast.Name("os"), "path"), _):
            # They answer, whatever the system says.
            return False
        case ast.Attribute(_, name):
            return name in METHODS
    return False


def _place(file: str, node: ast.Call) -> Place:
    return Place(file, node.lineno, node.col_offset, ast.unparse(node.func))


def listed(source: str, file: str) -> Iterator[Place]:
    """Yield the places of a source text, in the order of their lines."""
    found = (_place(file, node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and _named(node.func))
    yield from sorted(found)


def listed_below(directory: Path, leave_out: tuple[str, ...] = ()) -> list[Place]:
    """Return the places of all modules below a directory, but for those below some of its directories."""
    found: list[Place] = []
    for path in sorted(directory.rglob("*.py")):
        file = path.relative_to(directory).as_posix()
        if not file.startswith(leave_out):
            found += listed(path.read_text(encoding="utf-8"), file)
    return found


class _Hooks(ast.NodeTransformer):
    def __init__(self, file: str):
        self._file = file

    def visit_Call(self, node: ast.Call) -> ast.AST:
        key = _place(self._file, node).key if _named(node.func) else None
        self.generic_visit(node)
        if key is None:
            return node
        arguments: list[ast.expr] = [ast.Constant(key), node.func, *node.args]
        return ast.copy_location(ast.Call(ast.Name(HOOK, ast.Load()), arguments, node.keywords), node)


def instrumented(source: str, file: str) -> ast.Module:
    """Return the module in which each place calls :data:`HOOK`."""
    return ast.fix_missing_locations(_Hooks(file).visit(ast.parse(source)))
