"""The documentation builds, and says nothing that Sphinx can prove wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.house.source import ROOT


def test_docs_build_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    command += ["-d", str(tmp_path / "doctrees"), str(ROOT / "docs"), str(tmp_path / "html")]
    told = subprocess.run(command, capture_output=True, text=True, timeout=230)
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "html" / "index.html").is_file()
