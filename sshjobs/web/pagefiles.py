"""The files of the pages as browsers get them: compressed, at addresses that change with them, and all modules in one
file, since each file costs a browser more time than what is in it.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

STATIC = Path(__file__).parent / "static"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
#: How our modules import and export; that of vendored ones is at their end.
_IMPORT = re.compile(r'^import \{ (.+) \} from "\./(.+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:const|function) (\w+))", re.MULTILINE)
_EXPORTS = re.compile(r"export\{(.+)\};?\n?$")


class PageFiles(NamedTuple):
    """Files by name, as they are and compressed.

    :ivar digest: of all of them. The page names it in the addresses of the others, before their names: what is at such
        an address never changes
    """

    digest: str
    whole: Mapping[str, bytes]
    small: Mapping[str, bytes]


@cache
def page_files(root: Path | None) -> PageFiles:
    """Return the files below a directory, ``None`` for our own; no other file can be requested."""
    where = root or STATIC
    files = {path.relative_to(where).as_posix(): path.read_bytes()
             for path in sorted(where.rglob("*")) if path.suffix in TYPES and path.is_file()}
    if root is None:
        files["main.js"] = joined({name: data.decode() for name, data in files.items()}, "main.js").encode()
    digest = sha256(repr(files).encode()).hexdigest()[:16]
    if "index.html" in files:
        files["index.html"] = files["index.html"].replace(b'"static/', f'"static/{digest}/'.encode())
    return PageFiles(digest, files, {name: gzip.compress(data, 9, mtime=0) for name, data in files.items()})


def joined(files: Mapping[str, str], name: str) -> str:
    """Return a module with all that it imports as one module: each in a scope of its own, those that it imports before
    it. They are modules by themselves, too: nothing else is changed in them."""
    places: dict[str, int] = {}
    parts: list[str] = []

    def place_of(name: str) -> int:
        if name not in places:
            parts.append(_scope(files[name], lambda other: place_of((Path(name).parent / other).as_posix())))
            places[name] = len(places)
        return places[name]

    place_of(name)
    return "".join(f"const module{n} = {part};\n" for n, part in enumerate(parts))


def _scope(text: str, place_of: Callable[[str], int]) -> str:
    """Return a module as an expression: an object with what it exports."""
    imports = "".join(f"const {{ {names.replace(' as ', ': ')} }} = module{place_of(path)};\n"
                      for names, path in _IMPORT.findall(text))
    text = _IMPORT.sub("", text)
    names, text = _EXPORT.findall(text), _EXPORT.sub("", text)
    vendored = _EXPORTS.search(text)
    if vendored is not None:
        text = text[:vendored.start()]
        names += [f"{outer}: {inner}" for inner, outer in (one.split(" as ") for one in vendored[1].split(","))]
    return f"(() => {{\n{imports}{text}\nreturn {{ {', '.join(names)} }};\n}})()"
