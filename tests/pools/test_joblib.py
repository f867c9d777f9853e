"""joblib's calls made on hosts, and what a program finds when it is started again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import joblib
import pytest

import sshjobs.pools.joblib  # noqa: F401  (makes the backend known)
from sshjobs import Executor, UsageError
from tests.conftest import REPOSITORY
from tests.hints import tries
from tests.lab import LoopbackLab
from tests.lab.waiting import wait_until

PATIENCE = 60


@pytest.fixture
def here(clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_parallel_returns_in_order_with_any_size_of_batch(here: Path) -> None:
    with Executor(slots=2) as executor, joblib.parallel_config("sshjobs", executor=executor):
        for size in ("auto", 3):
            assert joblib.Parallel(batch_size=size)(joblib.delayed(pow)(n, 2) for n in range(8)) == [
                n * n for n in range(8)]
        with pytest.raises(ZeroDivisionError):
            joblib.Parallel()(joblib.delayed(divmod)(1, n) for n in (1, 0, 2))
    assert len(list((here / "results").iterdir())) == 1


def test_without_an_executor_each_parallel_is_a_run(here: Path) -> None:
    with joblib.parallel_config("sshjobs", hosts=None, slots=2, inner_max_num_threads=1):
        assert joblib.Parallel(n_jobs=2)(joblib.delayed(os.getenv)("OMP_NUM_THREADS") for _ in range(2)) == ["1", "1"]
    (run,) = (here / "results").iterdir()
    assert len(list((run / "jobs").iterdir())) == 2


@tries("leave out results=")
def test_what_makes_no_sense_is_told(here: Path) -> None:
    with pytest.raises(UsageError, match="leave out results="):
        joblib.parallel_config("sshjobs", results="json")
    with Executor(slots=1) as executor, pytest.raises(UsageError, match="an executor was given"):
        joblib.parallel_config("sshjobs", executor=executor, slots=2)


GRID = """
import sys
import joblib
import numpy
import sshjobs.pools.joblib
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

class Noted(LogisticRegression):
    def fit(self, X, y):
        import os, time
        with open({ledger!r}, "a") as file:
            file.write(f"{{self.C}}/{{int(X.sum() * 1e6)}}\\n")
        while self.C > 1 and not os.path.exists({ledger!r} + ".go"):
            time.sleep(0.01)
        return super().fit(X, y)

X, y = make_classification(400, random_state=1)
with joblib.parallel_config("sshjobs", hosts={hosts!r}, ssh_config={config!r}, name="grid"):
    search = GridSearchCV(Noted(), {{"C": [0.5, 2.0]}}, cv=3, refit=False)
    search.fit(X, y)
print([round(float(x), 6) for x in search.cv_results_["mean_test_score"]])
"""


@pytest.mark.slow
def test_a_grid_search_that_was_killed_computes_no_cell_twice(here: Path,
                                                              loopback_lab: Callable[..., LoopbackLab]) -> None:
    lab, ledger = loopback_lab(4), here / "ledger"
    hosts = [f"{host.name} slots=1 python={sys.executable}" for host in lab.hosts]
    (here / "grid.py").write_text(GRID.format(ledger=str(ledger), hosts=hosts, config=str(lab.ssh_config)))

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "grid.py"], cwd=here, stdout=subprocess.PIPE, text=True,
                                env={**os.environ, "PYTHONPATH": str(REPOSITORY)})

    first = start()
    try:
        wait_until(lambda: ledger.exists() and len(ledger.read_text().split()) == 6, PATIENCE, "all cells have begun")
    finally:
        first.kill()
        first.wait()
    Path(f"{ledger}.go").touch()
    second = start()
    out, _ = second.communicate(timeout=PATIENCE)
    cells = ledger.read_text().split()
    assert len(cells) == len(set(cells)) == 6
    assert out.startswith("[0.") and len(out.split()) == 2
