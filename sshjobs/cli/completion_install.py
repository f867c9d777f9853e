"""``sshjobs completion``."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from sshjobs.cli.completion import SHELLS, script
from sshjobs.errors import EXIT_OK, LocalError, UsageError, printable

#: What the line in a shell's own file ends with, by which it is found again.
MARK = "# sshjobs completion"
# zsh completes nothing before it is told to.
_ZSH_LINE = "[ -r {0} ] && {{ (( $+functions[compdef] )) || {{ autoload -Uz compinit && compinit; }}; . {0}; }}"


@click.group("completion", no_args_is_help=False)
def command() -> None:
    """Have a shell complete commands, options, runs, jobs and hosts."""


@command.command("install")
@click.argument("shell", type=click.Choice(SHELLS), required=False)
def install(shell: str | None) -> int:
    """Have SHELL complete from its next start on: bash, zsh or fish; yours if it is left out.

    Writes one file of its own, and for bash and zsh one line into ~/.bashrc or ~/.zshrc that reads it. Doing it again
    renews the file, as after an update.
    """
    shell = shell or _own_shell()
    path, rc = places(shell)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script(shell), encoding="utf-8")
        click.echo(printable(f"wrote {path}"))
        if rc is not None and MARK not in _read(rc):
            with open(rc, "a", encoding="utf-8") as file:
                text = _read(rc)
                file.write("\n" * bool(text and not text.endswith("\n")) + _line(shell, path))
            click.echo(printable(f"added a line to {rc}"))
    except OSError as error:
        raise LocalError.of(error, "completion cannot be installed",
                            hint=f"read it from where you like: sshjobs completion show {shell}") from error
    click.echo(f"{shell} completes from its next start on")
    return EXIT_OK


@command.command("remove")
@click.argument("shell", type=click.Choice(SHELLS), required=False)
def remove(shell: str | None) -> int:
    """Take away again what ``install`` wrote."""
    shell = shell or _own_shell()
    path, rc = places(shell)
    try:
        path.unlink(missing_ok=True)
        if rc is not None and MARK in (text := _read(rc)):
            kept = [line for line in text.splitlines(keepends=True) if MARK not in line]
            rc.write_text("".join(kept), encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise LocalError.of(error, "completion cannot be removed") from error
    click.echo(f"{shell} completes no more from its next start on")
    return EXIT_OK


@command.command("show")
@click.argument("shell", type=click.Choice(SHELLS), required=False)
def show(shell: str | None) -> int:
    """Print what SHELL has to read, and write nothing."""
    click.echo(script(shell or _own_shell()), nl=False)
    return EXIT_OK


def places(shell: str) -> tuple[Path, Path | None]:
    """Return the file for a shell, and the shell's own file that reads it; ``None`` where it finds it by itself."""
    # Of a user whom nobody knows that is /~: it is not there.
    home = Path("/", os.path.expanduser("~"))
    if shell == "fish":
        config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
        return config / "fish" / "completions" / "sshjobs.fish", None
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "sshjobs"
    if shell == "bash":
        return data / "completion.bash", home / ".bashrc"
    return data / "completion.zsh", Path(os.environ.get("ZDOTDIR") or home) / ".zshrc"


def _line(shell: str, path: Path) -> str:
    file = shlex.quote(str(path))
    if shell == "zsh":
        return f"{_ZSH_LINE.format(file)}  {MARK}\n"
    return f"[ -r {file} ] && . {file}  {MARK}\n"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ""


def _own_shell() -> str:
    """Return which shell the user has.

    :raises UsageError: it is none that can complete
    """
    name = os.path.basename(os.environ.get("SHELL", ""))
    if name not in SHELLS:
        why = f"SHELL is '{name}'" if name else "SHELL is not set"
        raise UsageError("which shell is to complete is not known", why=why,
                         hint="name it: sshjobs completion install bash, zsh or fish")
    return name
