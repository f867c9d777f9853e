"""Far sides for tests, under this Python and under 3.6 where there is one."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sshjobs.gjob import files
from sshjobs.gjob.places import Places
from sshjobs.network import payload
from tests.gjob.client import FarHost


def _interpreters() -> list[str]:
    candidates = [*sorted(Path.home().glob(".pyenv/versions/3.6*/bin/python")), shutil.which("python3.6")]
    for candidate in filter(None, candidates):
        if subprocess.run([str(candidate), "-c", "import zlib, ctypes"], capture_output=True).returncode == 0:
            return [sys.executable, str(candidate)]
    return [sys.executable]


@pytest.fixture(params=_interpreters(), ids=lambda path: "3.6" if "3.6" in path else "ours")
def python(request: pytest.FixtureRequest) -> str:
    """An interpreter for the far side."""
    return str(request.param)


@pytest.fixture(scope="session")
def oldest_python() -> str:
    """The oldest interpreter that there is for the far side."""
    return _interpreters()[-1]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Where a run's files are on a host, each directory made."""
    made = Places(str(tmp_path / "root"), "r" * 32, "h" * 16)
    for directory in (made.journals, made.work, made.outputs, made.blobs):
        Path(directory).mkdir(parents=True)
    return made


@pytest.fixture
def make_far(python: str, tmp_path: Path) -> Iterator[Callable[..., FarHost]]:
    """Makes hosts; ends all that they started."""
    made: list[FarHost] = []

    def make(packed: bytes | None = None) -> FarHost:
        home = tmp_path / f"home{len(made)}"
        home.mkdir()
        made.append(FarHost(python, home, packed))
        return made[-1]

    yield make
    for far in made:
        far.close()


@pytest.fixture
def far(make_far: Callable[..., FarHost]) -> FarHost:
    """One host."""
    return make_far()


@pytest.fixture
def make_failing(make_far: Callable[..., FarHost]) -> Callable[..., FarHost]:
    """Make a host on which a system call of a module fails as long as there is a file ``fail`` in the home."""

    def make(module: str, call: str, number: str) -> FarHost:
        modules = dict(payload.sources())
        name = f"sshjobs.gjob.{module}"
        assert call in modules[name]
        modules[name] = modules[name].replace(call, f"(_fail() or {call})") + (
            "\n\ndef _fail():\n    import errno, os\n    if os.path.exists(os.environ['HOME'] + '/fail'):\n"
            f"        raise OSError(errno.{number}, os.strerror(errno.{number}))\n")
        return make_far(payload.pack(modules))

    return make


@pytest.fixture
def contents(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Have the far side's code in this process read files as given, and find no others."""
    def give(given: dict[str, str]) -> None:
        def read(path: str, follow: bool = False) -> bytes:
            if path not in given:
                raise FileNotFoundError(errno.ENOENT, "no such file", path)
            return given[path].encode()

        monkeypatch.setattr(files, "contents", read)

    return give
