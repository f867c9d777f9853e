"""sshjobs as one file that a host's python3 runs: what workers and brokers need of it, without libraries."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import sshjobs

NAME = "sshjobs.pyz"
#: The modules and packages in the file.
_PARTS = ("__init__.py", "errors.py", "model/__init__.py", "model/similar.py", "pools", "cluster")
_MAIN = "import sys\nfrom sshjobs.cluster.onhost import main\nsys.exit(main())\n"


def write_shipment(directory: Path) -> None:
    """Write the file into a directory. The same code gives the same bytes.

    :raises OSError: it cannot be written
    """
    package = Path(sshjobs.__file__).parent
    sources = [package / part for part in _PARTS]
    files = sorted(file for source in sources for file in ([source] if source.is_file() else source.glob("*.py")))
    with open(directory / NAME, "xb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.writestr(_entry(f"sshjobs/{file.relative_to(package)}"), file.read_bytes())
        archive.writestr(_entry("__main__.py"), _MAIN)
    os.chmod(directory / NAME, 0o600)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
