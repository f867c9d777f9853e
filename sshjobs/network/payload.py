"""What starts the far side: one constant remote command, and what is written to its standard input."""

from __future__ import annotations

import base64
import re
import textwrap
import zlib
from collections.abc import Mapping
from functools import cache
from importlib import resources

from sshjobs.errors import UsageError

_PYTHON = re.compile(r"~?[A-Za-z0-9_./+-]+")

# Runs on every Python that knows -I (3.4), so that an older one than the agent's can still say so by itself.
# Sources are executed from memory; __loader__.get_source gives tracebacks their lines.
_STAGE = """
import sys

def stage(nonce, packed):
    if not sys.platform.startswith("linux"):
        return refuse("NOT-LINUX", nonce, __import__("platform").system())
    if sys.version_info < (3, 6):
        return refuse("OLD", nonce, "%d.%d.%d" % sys.version_info[:3])
    import binascii
    import zlib
    texts = zlib.decompress(binascii.a2b_base64(packed)).decode("utf-8").split("\\0")
    sys.meta_path.insert(0, Memory(dict(zip(texts[::2], texts[1::2]))))
    from sshjobs.gjob import front
    sys.exit(front.main(nonce))

def refuse(word, nonce, what):
    sys.stdout.write("\\nSSHJOBS-%s %s %s\\n" % (word, nonce, what))
    sys.stdout.flush()
    sys.exit(3)

class Memory:
    def __init__(self, sources):
        self.sources = sources

    def find_spec(self, name, path=None, target=None):
        if name not in self.sources:
            return None
        package = any(other.startswith(name + ".") for other in self.sources)
        return type(sys.__spec__)(name, self, origin=self.origin(name), is_package=package)

    def origin(self, name):
        return name.replace(".", "/") + ".py"

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        name = module.__name__
        exec(compile(self.sources[name], self.origin(name), "exec", dont_inherit=True), module.__dict__)

    def get_source(self, name):
        return self.sources[name]

stage(NONCE, PACKED)
"""


def bootstrap_code() -> str:
    """Return the code for ``python3 -ISc`` that reads the first stage from standard input and runs it."""
    return "import sys;exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"


def remote_command(python: str | None) -> str:
    """Return the remote command. It is constant but for the interpreter, and means the same to every login shell.

    :param python: name or path of the interpreter on the host; ``None`` is ``python3``
    :raises UsageError: a name that a shell could take for something else
    """
    if python is not None and not _PYTHON.fullmatch(python):
        raise UsageError("the name of the interpreter cannot be used", where=f"python={python}",
                         why="letters, digits and ./_+- only", hint="name a path without other characters")
    return f'exec {python or "python3"} -ISc "{bootstrap_code()}"'


@cache
def sources() -> Mapping[str, str]:
    """Return the modules that travel, by name, as source text."""
    found = {"sshjobs": ""}
    for entry in resources.files("sshjobs.gjob").iterdir():
        if entry.name.endswith(".py"):
            name = "" if entry.name == "__init__.py" else "." + entry.name[:-3]
            found[f"sshjobs.gjob{name}"] = entry.read_text(encoding="utf-8")
    return found


@cache
def _packed() -> str:
    return pack(sources())


def pack(modules: Mapping[str, str]) -> str:
    """Return modules in the form in which the first stage takes them: ASCII without quotes."""
    text = "\0".join(part for name in sorted(modules) for part in (name, modules[name]))
    return base64.b64encode(zlib.compress(text.encode("utf-8"), 9)).decode("ascii")


def first_stage(nonce: str, packed: str | None = None) -> bytes:
    """Return everything that is written to standard input before the marker is seen.

    :param nonce: 32 hex digits; the marker carries them
    :param packed: other modules than those of this package, from :func:`pack`
    """
    assigned = f'NONCE = "{nonce}"\nPACKED = "{_packed() if packed is None else packed}"\n'
    stage = (assigned + textwrap.dedent(_STAGE)).encode("ascii")
    return b"%d\n%s" % (len(stage), stage)
