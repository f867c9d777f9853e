"""Small rooms: a module fits in one reading, a function on one screen."""

from __future__ import annotations

from pathlib import Path

from tests.house import rules
from tests.house.source import PACKAGE, modules


def test_no_module_and_no_function_is_too_long() -> None:
    assert rules.too_long(modules(PACKAGE).values()) == []


def test_what_is_too_long_is_found(tmp_path: Path) -> None:
    package = tmp_path / "big"
    package.mkdir()
    (package / "flat.py").write_text("x = 1\n" * 461)
    body = "        x = 1\n" * 60
    (package / "deep.py").write_text(f"class A:\n    async def f(self):\n{body}    def g(self):\n{body[14:]}")
    assert rules.too_long(modules(package).values()) == [
        "big.deep.A.f has 61 lines; at most 60",
        "big.flat has 461 lines; at most 460",
    ]
