"""What a shell completes: commands and options, and file names wherever there is nothing of ours to name."""

from __future__ import annotations

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)


def complete_files_too() -> None:
    """Have every shell complete the names of files, which our completion would hide from it otherwise."""
    for kind in (BashComplete, ZshComplete, FishComplete):
        add_completion_class(type(f"Our{kind.__name__}", (_WithFiles, kind), {}))


class _WithFiles(ShellComplete):
    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        # Of this type, a shell looks for files itself.
        return super().get_completions(args, incomplete) or [CompletionItem(incomplete, type="file")]
