"""Top: a run on the whole terminal, live or over: lists to look at, and keys and commands to act by."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.widgets import Input, Static

from sshjobs.errors import SshjobsError, UsageError, printable
from sshjobs.model.states import STATE_BUSY, STATE_DONE, STATE_ERROR, STATE_FREE, STATE_UNKNOWN
from sshjobs.store.rundir import RunPaths
from sshjobs.tui.commands import COMMANDS, VIEWS, Command, Filter, command_of, filter_of, sort_of
from sshjobs.tui.listing import LISTINGS, Asked, Lists, Page
from sshjobs.tui.table import Rows
from sshjobs.views import wording
from sshjobs.web.models import Overview
from sshjobs.web.watch import RunWatch, in_thread

#: Seconds between two looks at the run; a look that took long is followed by a pause so many times as long.
LOOK_S, PAUSE = 1.0, 10.0
#: Seconds that an answer stays in sight.
ANSWER_S = 8.0
#: Rows that are read beyond those that are seen, on either side.
MARGIN = 20
_HELP = ("1-5 views", "Enter open", "Esc back", ": command", "/ filter", "s S sort", "f follow", "e stderr", "c cancel",
         "r retry", "d drain", "p pause")
_ALWAYS = ("? help", "q quit")

#: Carries out a request of a person.
Act = Callable[[dict[str, Any]], dict[str, Any]]


class Top(App[int]):
    """See the module.

    :param act: carries out a request of a person; may take seconds
    :param cancel: cancels jobs, whether the run is managed or not; likewise
    """

    CSS = """
    Screen { layout: vertical; }
    #head { height: 3; }
    #said { height: 1; }
    #line { height: 1; border: none; padding: 0; display: none; }
    #line.open { display: block; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS = [
        Binding("q", "leave", show=False), Binding("ctrl+c", "leave", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", show=False, priority=True),
        # By the application itself: what is typed right behind them must be no keys of the list any more.
        *(Binding(str(at), f"view('{view}')", show=False, priority=True) for at, view in enumerate(VIEWS, 1)),
        Binding("colon", "open(':')", show=False, priority=True),
        Binding("slash", "open('/')", show=False, priority=True),
        Binding("question_mark", "help", show=False), Binding("escape", "back", show=False, priority=True),
        Binding("s", "sort", show=False), Binding("S", "turn", show=False), Binding("f", "follow", show=False),
        Binding("e", "stream", show=False), Binding("c", "ask('cancel')", show=False),
        Binding("r", "ask('retry')", show=False), Binding("d", "drain", show=False), Binding("p", "pause", show=False),
    ]

    def __init__(self, paths: RunPaths, act: Act, cancel: Callable[[list[str]], None]):
        super().__init__()
        self._paths, self._act, self._cancel = paths, act, cancel
        self._watch, self._lists = RunWatch(paths.name, paths), Lists(paths)
        self.view = "jobs"
        #: What each view keeps and sorts by; and where one came from, for Esc.
        self._asked: dict[str, Asked] = {view: Asked() for view in VIEWS}
        self._before: list[tuple[str, Asked, int]] = []
        self._overview: Overview | None = None
        self._following = False
        self._said, self._said_until = "", 0.0
        #: How wide the terminal was when that was laid out.
        self._told_for = 0
        #: What a y answers.
        self._question: Command | None = None
        self._mode = ""
        self._next_look, self._looking, self._again = 0.0, False, False

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Rows()
        yield Static(id="said", markup=False)
        yield Input(id="line", compact=True)

    def on_mount(self) -> None:
        """Begin to look at the run."""
        self.rows.focus()
        self._say("")
        self.set_interval(LOOK_S / 4, self._look_if_due)
        self._look()

    @property
    def rows(self) -> Rows:
        """The list that is seen."""
        return self.query_one(Rows)

    # -- looking -------------------------------------------------------------------------------------------------

    def _look_if_due(self) -> None:
        if not self.is_running:
            # Timers tick on while the application ends, when there is no screen any more.
            return
        if self.screen.outer_size != self.size:
            # Textual lays out anew by a timer that never fires where the machine was too busy as it was set.
            self.screen.post_message(events.Resize(self.size, self.size))
        if time.monotonic() > self._said_until if self._said else self.size.width != self._told_for:
            self._say("")
        if time.monotonic() >= self._next_look:
            self._look()

    def _look(self) -> None:
        """Read what is to be seen, one look at a time."""
        if self._looking:
            self._again = True
            return
        self._looking, self._again = True, False
        self.run_worker(self._read(), exit_on_error=False)

    async def _read(self) -> None:
        began = time.monotonic()
        try:
            await self._read_page()
        except UsageError as error:
            self._asked[self.view] = self._asked[self.view]._replace(kept=Filter(), sort="")
            self._say(str(error))
        except SshjobsError as error:
            self._say(str(error))
        finally:
            self._looking = False
        took = time.monotonic() - began
        self._next_look = time.monotonic() + max(LOOK_S, PAUSE * took)
        self._show_head()
        if self._again:
            self._look()

    async def _read_page(self) -> None:
        view, rows = self.view, self.rows
        if self._following and view == "logs":
            rows.top = max(0, rows.total - rows.room)
        first = max(0, rows.top - MARGIN)
        asked = self._asked[view]._replace(offset=first, limit=rows.room + 2 * MARGIN)
        page: Page
        # In one question: while a large run is read for the first time each has to wait for its turn.
        self._overview, page = await self._watch.look(
            lambda reader, index: self._lists.page(view, asked, reader, index))
        if view != self.view:
            self._again = True
            return
        grown = page.total > rows.total
        rows.show(view, page, first)
        if self._following and view == "logs" and (grown or rows.cursor != page.total - 1):
            rows.go_to(page.total - 1)
        if page.told and not self._said:
            self._say(page.told)

    def on_rows_moved(self) -> None:
        """Rows that were not read yet are to be seen."""
        self._look()

    def _show_head(self) -> None:
        overview = self._overview
        if overview is None:
            return
        run, counts = overview.run, overview.run.counts
        pace = "" if not overview.rate else f"  {overview.rate:,.1f}/s"
        if overview.seconds_left is not None:
            pace += f"  {wording.left(overview.seconds_left, overview.seconds_left_p90)}"
        lines = [Text(f"{printable(run.name)}  {run.state}{', paused by a person' if run.paused else ''}"
                      f"  {run.total:,} jobs on {wording.count(run.hosts, 'host')}{pace}", style="bold")]
        told = Text()
        for state, style in ((STATE_DONE, "green"), (STATE_ERROR, "red"), (STATE_BUSY, "yellow"),
                             (STATE_UNKNOWN, "magenta"), (STATE_FREE, "dim")):
            # What there is none of is nothing to look at.
            told.append(f"{counts.get(state, 0):,} {state}  ", style=style if counts.get(state) else "dim")
        lines += [told, self._where()]
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        self.query_one("#head", Static).update(Text("\n").join(lines))

    def _where(self) -> Text:
        asked, rows = self._asked[self.view], self.rows
        words = [self.view if self.view != "logs" else f"{asked.stream} of {asked.of or 'no job'}"]
        kept = asked.kept
        words += [f"with {word}" for word in (kept.text, kept.params, kept.host and f"host {kept.host}",
                                              kept.states and " or ".join(kept.states)) if word]
        if asked.sort:
            words.append(f"by {asked.sort}{', largest first' if asked.descending else ''}")
        if self._following and self.view == "logs":
            words.append("following")
        words.append(f"{rows.cursor + 1 if rows.total else 0:,} of {rows.total:,}")
        return Text(printable("  ".join(words)), style="cyan")

    def _say(self, text: str, seconds: float = ANSWER_S) -> None:
        # A question that is not seen any more is none.
        self._question = None
        self._said, self._said_until = printable(text), time.monotonic() + seconds
        self._told_for = self.size.width
        said = Text(self._said, style="bold yellow") if text else Text(keys_told(self.size.width), style="dim")
        said.no_wrap, said.overflow = True, "ellipsis"
        self.query_one("#said", Static).update(said)

    # -- keys ----------------------------------------------------------------------------------------------------

    def action_leave(self) -> None:
        """Leave; the run goes on."""
        self.exit(0)

    def action_view(self, view: str) -> None:
        """Show another list; the one that is shown stays as it is."""
        if view != self.view:
            self._go(view, self._asked[view])

    def _go(self, view: str, asked: Asked, *, cursor: int = 0, keep: bool = True) -> None:
        if keep and (view, asked) != (self.view, self._asked[self.view]):
            self._before = [*self._before[-50:], (self.view, self._asked[self.view], self.rows.cursor)]
        self.view, self._asked[view] = view, asked
        rows = self.rows
        rows.show(view, Page([], cursor + 1), 0)
        rows.cursor, rows.top = cursor, max(0, cursor - rows.room // 2)
        self._following = view == "logs" and keep
        self._say("")
        self._look()

    async def action_back(self) -> None:
        """Close what is open; else take the filter away; else go where one came from."""
        if self._mode:
            self._close()
        elif self._question is not None:
            self._question = None
            self._say("")
        elif self._asked[self.view].kept != Filter() and not self._before:
            self._go(self.view, self._asked[self.view]._replace(kept=Filter()), keep=False)
        elif self._before:
            view, asked, cursor = self._before.pop()
            self._go(view, asked, cursor=cursor, keep=False)

    def action_sort(self) -> None:
        """Sort by the next column."""
        sorts, asked = LISTINGS[self.view].sorts, self._asked[self.view]
        if sorts:
            at = sorts.index(asked.sort) + 1 if asked.sort in sorts else 1
            self._go(self.view, asked._replace(sort=sorts[at % len(sorts)]), keep=False)

    def action_turn(self) -> None:
        """Turn the order around."""
        asked = self._asked[self.view]
        if LISTINGS[self.view].sorts:
            self._go(self.view, asked._replace(descending=not asked.descending), keep=False)

    def action_follow(self) -> None:
        """Stay at the end of what a job writes, or no longer."""
        self._following = not self._following
        self._look()

    def action_stream(self) -> None:
        """Show the other output of the job."""
        asked = self._asked["logs"]
        if self.view == "logs":
            self._go("logs", asked._replace(stream="stderr" if asked.stream == "stdout" else "stdout"), keep=False)
            self._following = True

    def action_help(self) -> None:
        """Tell the commands."""
        self._say("commands: " + ", ".join(f"{name} {words}".strip() for name, (words, _) in COMMANDS.items()), 60.0)

    def action_pause(self) -> None:
        """Launch nothing more, or launch again."""
        paused = self._overview is not None and self._overview.run.paused
        self._carry_out(Command("unpause" if paused else "pause", ()))

    def action_drain(self) -> None:
        """Drain the host that is chosen, or use it again."""
        row = self.rows.chosen()
        if self.view != "hosts" or row is None:
            self._say("choose a host first: :hosts")
            return
        self._carry_out(Command("undrain" if row.cells[1] == "drained" else "drain", (row.key,)))

    def action_ask(self, name: str) -> None:
        """Cancel the job that is chosen, or try it again."""
        job = self._job()
        if job is None:
            self._say("choose a job first: :jobs")
            return
        self._ask_first(Command(name, (job,)))

    def _job(self) -> str | None:
        row = self.rows.chosen()
        if self.view == "logs":
            return self._asked["logs"].of or None
        return row.key if row is not None and self.view in ("jobs", "failures") else None

    def on_rows_chosen(self, message: Rows.Chosen) -> None:
        """Go from a row to what is behind it."""
        key = message.row.key
        if message.view != self.view:
            # Another was asked for meanwhile.
            return
        if self.view in ("jobs", "failures"):
            self._go("logs", Asked(of=key, stream="stderr" if self.view == "failures" else "stdout"))
        elif self.view == "hosts":
            self._go("jobs", Asked(kept=Filter(host=key)))
        elif self.view == "parameters":
            self._go("jobs", Asked(kept=Filter(params=key)))

    async def on_key(self, event: Any) -> None:
        """Take the answer to a question."""
        question, self._question = self._question, None
        if question is None:
            return
        event.stop()
        event.prevent_default()
        if event.key == "y":
            self._carry_out(question)
        else:
            self._say("nothing was done")

    # -- the line ------------------------------------------------------------------------------------------------

    def action_open(self, mode: str) -> None:
        """Open the line for a command or a filter."""
        self._mode = mode
        line = self.query_one("#line", Input)
        line.value, line.placeholder = "", "command, such as jobs, hosts, sort -seconds, quit" if mode == ":" else (
            "a part of the name, state=error, host=gpu1, lr=0.1")
        line.add_class("open")
        self.screen.set_focus(line)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In the line ``:``, ``/`` and digits are letters."""
        return not (action in ("open", "view") and self._mode)

    def _close(self) -> None:
        self._mode = ""
        self.query_one("#line", Input).remove_class("open")
        self.screen.set_focus(self.rows)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Carry out what was typed."""
        mode, text = self._mode, event.value[:2_000]
        self._close()
        try:
            if mode == "/":
                self._go(self.view, self._asked[self.view]._replace(kept=filter_of(text)), keep=False)
            elif text.strip():
                self._run_command(command_of(text))
        except UsageError as error:
            self._say(str(error))

    def _run_command(self, command: Command) -> None:
        match command.name:
            case "logs":
                job = " ".join(command.words) or self._job()
                self._go("logs", Asked(of=job or ""))
            case name if name in VIEWS:
                self._go(name, self._asked[name])
            case "sort":
                sort, descending = sort_of(" ".join(command.words), LISTINGS[self.view].sorts)
                self._go(self.view, self._asked[self.view]._replace(sort=sort, descending=descending), keep=False)
            case "help":
                self.action_help()
            case "quit":
                self.action_leave()
            case "cancel" | "retry":
                job = self._job()
                names = command.words or ((job,) if job else ())
                if not names:
                    raise UsageError("no job is named, and none is chosen", hint=f"write :{command.name} JOB")
                self._ask_first(Command(command.name, names))
            case _:
                self._carry_out(command)

    # -- acting --------------------------------------------------------------------------------------------------

    def _ask_first(self, command: Command) -> None:
        if command.name == "retry":
            self._carry_out(command)
            return
        self._say(f"{command.name} {' '.join(command.words)}? y: yes, any other key: no", 3600.0)
        self._question = command

    def _carry_out(self, command: Command) -> None:
        try:
            request = self._request(command)
        except UsageError as error:
            self._say(str(error))
            return
        self._say(f"{command.name} …", 3600.0)
        self.run_worker(self._acted(command, request), exit_on_error=False)

    def _request(self, command: Command) -> dict[str, Any]:
        row, words = self.rows.chosen(), list(command.words)
        if command.name in ("drain", "undrain") and not words and self.view == "hosts" and row is not None:
            words = [row.key]
        match command.name:
            case "pause" | "unpause":
                return {"do": command.name, "jobs": None}
            case "retry" | "cancel":
                return {"do": command.name, "jobs": words}
            case "slots":
                if len(words) != 2 or not words[1].isdecimal() or len(words[1]) > 9:
                    raise UsageError("slots takes a host and a number", hint="as in :slots gpu1 4")
                return {"do": "hosts-slots", "hosts": words[:1], "slots": int(words[1])}
            case _ if words:
                return {"do": f"hosts-{command.name}", "hosts": words}
        raise UsageError("no host is named, and none is chosen", hint=f"write :{command.name} HOST")

    async def _acted(self, command: Command, request: dict[str, Any]) -> None:
        try:
            if command.name == "cancel":
                await in_thread(lambda: self._cancel(request["jobs"]))
                self._say(f"cancelled: {' '.join(request['jobs'])}")
            else:
                answer = await in_thread(lambda: self._act(request))
                self._say(_told(command, answer))
        except SshjobsError as error:
            self._say(str(error))
        self._look()


def keys_told(width: int) -> str:
    """Return which keys there are, as many as there is room for: whole words, and the last always."""
    keys = list(_HELP)
    while keys and len("  ".join((*keys, *_ALWAYS))) > width:
        keys.pop()
    return "  ".join((*keys, *_ALWAYS))


def _told(command: Command, answer: dict[str, Any]) -> str:
    """Return what came of a command in words."""
    if command.name == "retry" and not answer.get("jobs"):
        return f"{' '.join(command.words)}: it cannot be tried again, or did not fail"
    return f"done: {command.name} {' '.join(command.words)}".rstrip()
