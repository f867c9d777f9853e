"""Notes which lines each test carries out, and how long it takes: ``python -m tests.mutation.noting OUT TESTS…``, in a copy.

Lines of the tests' own process are counted by coverage. What tests start on hosts has no libraries there, and is killed
without a warning: it writes each of its lines down when it comes to it the first time (:data:`FAR`).
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import coverage
import pytest

from tests.mutation.mutants import SCOPE

#: Appended to ``sshjobs/gjob/__init__.py`` of the copy, and sent to hosts with it.
FAR = '''
def _note(top):
    import os, sys
    seen = set()
    def line(frame, event, arg):
        at = frame.f_code.co_filename, frame.f_lineno
        if event == "line" and at not in seen:
            seen.add(at)
            try:
                with open(os.path.join(top, "now")) as file:
                    now = file.read()
                out = os.open(os.path.join(top, now), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
                os.write(out, ("%%s %%d\\n" %% (at[0][at[0].rindex("sshjobs/"):], at[1])).encode())
                os.close(out)
            except OSError:
                pass
        return line
    def call(frame, event, arg):
        return line if "sshjobs/gjob/" in frame.f_code.co_filename else None
    if "coverage" not in sys.modules:
        sys.settrace(call)
_note(%r)
'''


class Noting:
    """A plugin of pytest: what each test covered. Tests that fail are left out.

    :param far: a directory that every process of the tests may write to
    """

    def __init__(self, measured: coverage.Coverage, far: Path):
        self.measured, self.far = measured, far
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        (self.far / "now").write_text(str(len(self.seconds)))
        self.measured.switch_context(item.nodeid)
        began = time.monotonic()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = round(time.monotonic() - began, 3)
            self.measured.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self.failed.add(report.nodeid)

    def found(self) -> dict[str, object]:
        """Return the tests with their seconds, and for each line of each file which tests, by their place in that list."""
        numbers = {name: number for number, name in enumerate(self.seconds)}
        lines: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        data, here = self.measured.get_data(), Path.cwd()
        for path in data.measured_files():
            for line, names in data.contexts_by_lineno(path).items():
                lines[str(Path(path).relative_to(here))][line].update(numbers[name] for name in names if name)
        for number in numbers.values():
            written = self.far / str(number)
            for text in written.read_text().splitlines() if written.exists() else ():
                lines[text.split()[0]][int(text.split()[1])].add(number)
        failed = {numbers[name] for name in self.failed if name in numbers}
        return {"tests": list(self.seconds.items()),
                "lines": {path: {line: sorted(tests - failed) for line, tests in of_file.items()}
                          for path, of_file in lines.items()}}


def main(out: str, *tests: str) -> int:
    here = Path.cwd()
    far = here / "build" / "far"
    far.mkdir(parents=True, exist_ok=True)
    far.chmod(0o777)
    # What an earlier pass has left here is of other tests.
    for path in far.iterdir():
        path.unlink()
    (far / "now").write_text("before")
    package = here / "sshjobs" / "gjob" / "__init__.py"
    package.write_text(package.read_text().partition("\ndef _note")[0] + FAR % str(far))
    measured = coverage.Coverage(data_file=None, include=[str(here / scope / "*") for scope in SCOPE],
                                 concurrency=["thread", "greenlet"], config_file=False)
    noting = Noting(measured, far)
    measured.start()
    status = pytest.main(["-q", "-p", "no:cacheprovider", *tests], plugins=[noting])
    measured.stop()
    Path(out).write_text(json.dumps(noting.found()))
    return int(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
