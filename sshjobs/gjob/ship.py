"""How this code gets to a host: as source text inside a first stage that a bare Python reads from its input.

Nothing is written to the host's disk. ``docs/protocol.md``, "Getting there", says what goes over the wire.
"""

import importlib.util
import io
import zlib

MYPY = False
if MYPY:
    from typing import Mapping, Sequence

#: So many bytes of what came before our marker are kept: they may tell why the marker did not come.
NOISE_KEPT = 1 << 16
#: An exit status with the NUL behind it has at most so many bytes.
_LONGEST_END = 4
#: An argument for the front: do not wait for the manager's first frame.
HURRY = "hurry"
_PACKAGE = __name__.rpartition(".")[0]
#: The subpackages of this package.
ROOMS = ("agent", "sharing", "verbs")
#: The entry modules: for one verb on a host, and for the command.
FAR_MODULE, COMMAND_MODULE = "verbs.far", "verbs.main"

# Runs on every Python that knows -I (3.4), so that an older one than ours can still say so by itself.
# Sources are executed from memory; __loader__.get_source gives tracebacks their lines.
_STAGE = """
import sys

def stage(nonce, entry, given, sizes, python):
    if not sys.platform.startswith("linux"):
        return refuse("NOT-LINUX", nonce, __import__("platform").system())
    if sys.version_info < (3, 6):
        return refuse("OLD", nonce, "%d.%d.%d" % sys.version_info[:3])
    packed, compiled = [sys.stdin.buffer.read(size) for size in sizes]
    sys.meta_path.insert(0, Memory(packed, compiled if python == this_python() else b""))
    __import__(entry)
    sys.exit(sys.modules[entry].main(nonce, *given))

def refuse(word, nonce, what):
    sys.stdout.write("\\nSSHJOBS-%s %s %s\\n" % (word, nonce, what))
    sys.stdout.flush()
    sys.exit(3)

def this_python():
    magic = getattr(sys.modules.get("_frozen_importlib_external"), "MAGIC_NUMBER", b"")
    return "%s %r" % (sys.implementation.cache_tag, magic)

class Memory:
    def __init__(self, packed, compiled):
        import zlib
        self.unpack = zlib.decompress
        self.packed = packed
        self.sources = None
        self.codes = {}
        if compiled:
            import marshal
            self.load = marshal.loads
            self.codes = marshal.loads(compiled)

    def find_spec(self, name, path=None, target=None):
        if not name.startswith("sshjobs") or (name not in self.codes and name not in self.get_sources()):
            return None
        package = name in ("sshjobs", "sshjobs.gjob", "sshjobs.gjob.agent", "sshjobs.gjob.sharing",
                           "sshjobs.gjob.verbs")
        return type(sys.__spec__)(name, self, origin=self.origin(name), is_package=package)

    def origin(self, name):
        return name.replace(".", "/") + ".py"

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        name = module.__name__
        if name in self.codes:
            code = self.load(self.unpack(self.codes[name]))
        else:
            code = compile(self.get_source(name), self.origin(name), "exec", dont_inherit=True)
        exec(code, module.__dict__)

    def get_source(self, name):
        return self.get_sources()[name]

    def get_sources(self):
        if self.sources is None:
            texts = self.unpack(self.packed).decode("utf-8").split("\\0")
            self.sources = dict(zip(texts[::2], texts[1::2]))
        return self.sources

stage(NONCE, ENTRY, GIVEN, SIZES, PYTHON)
"""

# Read by every Python, the old ones too: the first to answer on a host may be 2.7.
_MAIN = """import sys
if sys.version_info < (3, 6):
    sys.exit("gjob: this is Python %d.%d: 3.6 or newer is needed; put one first in PATH" % sys.version_info[:2])
from sshjobs.gjob.verbs.main import main
sys.exit(main())
"""


def bootstrap_code() -> str:
    """Return the code for ``python3 -ISc`` that reads the first stage from standard input and runs it."""
    return "import sys;exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"


def pack(modules: "Mapping[str, str]", level: int = 6) -> bytes:
    """Return modules in the form in which the first stage takes them.

    :param level: how hard they are compressed, from 1 to 9
    """
    text = "\0".join(part for name in sorted(modules) for part in (name, modules[name]))
    return zlib.compress(text.encode("utf-8"), level)


def first_stage(nonce: str, entry: str, packed: bytes, given: "Sequence[str]" = (), python: str = "",
                compiled: bytes = b"") -> bytes:
    """Return everything that is written to the far Python's standard input before the first frame.

    :param nonce: 32 hex digits, which the far side repeats in its marker
    :param entry: the module whose ``main(nonce, *given)`` is then called
    :param packed: modules, from :func:`pack`
    :param python: for which Python ``compiled`` is, as the first stage's ``this_python`` names it
    :param compiled: compiled code of the same modules, or of some of them
    """
    known = (nonce, entry, tuple(given), (len(packed), len(compiled)), python)
    stage = ("NONCE, ENTRY, GIVEN, SIZES, PYTHON = %a\n%s" % (known, _STAGE)).encode("ascii")
    return b"%d\n%s%s%s" % (len(stage), stage, packed, compiled)


def sources(*names: str) -> "dict[str, str]":
    """Return modules of this package, and those that they import, as text, by their names on the host.

    It does not matter where this package was itself loaded from: files, a zip, memory.
    """
    found = {"sshjobs": ""}
    todo = ["", *names]
    for name in todo:
        spec = importlib.util.find_spec(_PACKAGE + ("." + name if name else ""))
        loader = spec.loader if spec is not None else None
        assert spec is not None and loader is not None
        text: str = getattr(loader, "get_source")(spec.name)  # noqa: B009  (not in its type)
        found[spec.name] = text
        todo += [other for other in _imports(text, _room_of(name)) if other not in todo]
    return found


def _room_of(name: str) -> "list[str]":
    """Return the package below this one that a module lies in; nothing for one that lies in this one."""
    parts = name.split(".")
    return parts[:1] if parts[0] in ROOMS else []


def _imports(text: str, room: "list[str]") -> "set[str]":
    """Return the modules and packages of this package that one of them imports, and the package that it lies in."""
    import ast  # slow to load, as zipfile below, and of use for verbs and gjob in one file only

    found = set(room)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = room[:len(room) + 1 - node.level] + (node.module.split(".") if node.module else [])
            names = [[one.name] for one in node.names] if base in ([], *([name] for name in ROOMS)) else [[]]
            found.update(".".join(base + name) for name in names)
    return found


def one_file(version: str) -> bytes:
    """Return ``gjob`` as one program but for the ``#!`` line: a zip of its modules that Python runs as it is."""
    import zipfile

    modules = sources(COMMAND_MODULE, FAR_MODULE)
    modules["sshjobs"] = '__version__ = "%s"\n' % version
    packages = ["sshjobs", _PACKAGE] + [_PACKAGE + "." + room for room in ROOMS]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        def add(name: str, text: str) -> None:
            # A fixed time: the same version gives the same bytes everywhere.
            info = zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, text)

        add("__main__.py", _MAIN)
        for name in sorted(modules):
            suffix = "/__init__.py" if name in packages else ".py"
            add(name.replace(".", "/") + suffix, modules[name])
    return buffer.getvalue()


class Garbled(ValueError):
    """The far side sent something else than an exit status at its end."""


class Answer:
    """Parses one output stream of a verb: noise, the marker, what is for the user, the end. No I/O.

    :ivar ready: the marker has come
    :ivar noise: the last bytes of what came before the marker
    :ivar status: the verb's exit status, once it is known
    """

    def __init__(self, nonce: str):
        self._marker = b"\nSSHJOBS-READY %s\n" % nonce.encode("ascii")
        self._last = b"\0SSHJOBS-END %s " % nonce.encode("ascii")
        self.ready = False
        self.noise = b""
        self.status: "int | None" = None
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Take what came and return the part of it for the user. Bytes that may be the beginning of the end are kept
        until the rest comes.

        :raises Garbled: the end has no exit status; the answer is of no further use
        """
        if self.status is not None:
            return b""
        if not self.ready:
            self.noise += data
            before, marker, data = self.noise.partition(self._marker)
            if not marker:
                self.noise = self.noise[-NOISE_KEPT:]
                return b""
            self.ready, self.noise = True, before[-NOISE_KEPT:]
        self._held += data
        at = self._held.find(self._last)
        if at >= 0:
            number, closed, _ = self._held[at + len(self._last):][:_LONGEST_END].partition(b"\0")
            if closed and number.isdigit() and int(number) <= 255:
                self.status = int(number)
            elif closed or len(number) == _LONGEST_END:
                raise Garbled("an end without an exit status: %r" % number)
            passed, self._held = self._held[:at], self._held[at:]
            return passed
        at = self._held.rfind(b"\0")
        keep = len(self._held) - at if at >= 0 and self._last.startswith(self._held[at:]) else 0
        passed = self._held[:len(self._held) - keep]
        self._held = self._held[len(self._held) - keep:]
        return passed
