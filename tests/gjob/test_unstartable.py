"""Why a program cannot be started: each cause in words that name the way out."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sshjobs.gjob import unstartable


@pytest.mark.parametrize(("first", "told"), [
    ("#!/bin/zsh -f", "it has no execute bit; chmod +x it, or run it as: /bin/zsh ./x"), ("#! /bin/a b", "run it as: /bin/a ./x"),
    ("echo 1", "run it as: bash ./x"), ("#!", "run it as: bash ./x"), ("#x /bin/sh", "run it as: bash ./x"), ("", "run it as: bash ./x")])
def test_what_has_no_execute_bit_is_told_with_how_to_run_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, told: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x").write_text(first + "\n#!/bin/other\n")
    Path("x").chmod(0o644)
    assert told in unstartable.program(PermissionError(errno.EACCES, "denied"), b"./x", {})
    Path("x").chmod(0o755)
    assert "see its mode, and noexec" in unstartable.program(PermissionError(errno.EACCES, "denied"), b"./x", {})


@pytest.mark.parametrize(("first", "told"), [
    (b"#!/no/such", "names /no/such, which is not on this host"), (b"#!no", "names no; write the whole path there, or #!/usr/bin/env no"),
    (b"#!/bin/sh\r", "names /bin/sh\\r: the file has Windows line ends"), (b"#! /etc/passwd", "/etc/passwd, which its first line names, cannot be executed"),
    (b"\x7fELF", "the loader that it asks for is not on this host"), (b"x#!/bin/sh", "the loader that it asks for is not")])
def test_what_is_there_and_not_found_is_told_with_what_is_to_run_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bytes, told: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x").write_bytes(first + b"\n")
    error = FileNotFoundError(errno.ENOENT, "no such file")
    assert told in unstartable.program(error, b"./x", {}) and not unstartable.is_missing(error, b"./x")
    assert unstartable.is_missing(error, b"./y") and unstartable.is_missing(error, b"x")


@pytest.mark.parametrize(("number", "name", "told"), [
    (errno.E2BIG, b"x", "its arguments and environment are too long for this host"), (errno.ENOEXEC, b"x", "neither a program for this machine"),
    (errno.ELOOP, b"x", "leads in a circle"), (errno.EACCES, b".", "is a directory"), (errno.EIO, b"x", "x cannot be started: Input/output error"),
    (errno.ENOENT, b"if", "a word of the shell"), (errno.ENOENT, b"a b", "a line, not one word"), (errno.ENOENT, b"A=1", "write env"),
    (errno.ENOENT, b"$A", "variables are not expanded"), (errno.ENOENT, b"~x", "~ is not expanded"), (errno.ENOENT, b"zz", "PATH is /a:/b"),
    (errno.ENOENT, b"~/x", "~ is not expanded in argv"), (errno.ENOENT, b"$A/x", "variables are not expanded in argv"),
    (errno.ENOENT, b"a/x", "send the file too"), (errno.ENOTDIR, b"/a/x", "no such program: /a/x")])
def test_why_a_program_cannot_be_started_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, name: bytes, told: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert told in unstartable.program(OSError(number, os.strerror(number)), name, {b"PATH": b"/a:/b"})
