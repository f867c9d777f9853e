"""Rows: the lines of a view of which only those that can be seen exist. Every cell is text, whatever stands in it."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.widget import Widget

from sshjobs.errors import printable
from sshjobs.model.states import STATE_BUSY, STATE_DONE, STATE_ERROR, STATE_FREE, STATE_UNKNOWN
from sshjobs.tui.listing import LISTINGS, Page, Row, widths_of

_STYLES = {STATE_DONE: "green", STATE_ERROR: "red", STATE_BUSY: "yellow", STATE_UNKNOWN: "magenta", STATE_FREE: "dim"}


class Rows(Widget, can_focus=True):
    """Shows a page and where the cursor is; says when another page is needed.

    :ivar cursor: the row that is chosen, counted from the first of the whole list
    :ivar top: the first row that is seen
    """

    BINDINGS = [
        Binding("down,j", "move(1)", show=False), Binding("up,k", "move(-1)", show=False),
        Binding("pagedown,space", "leap(1)", show=False), Binding("pageup", "leap(-1)", show=False),
        Binding("home,g", "edge(0)", show=False), Binding("end,G", "edge(1)", show=False),
    ]
    DEFAULT_CSS = "Rows { height: 1fr; }"

    class Moved(Message):
        """Other rows are seen than before."""

    class Chosen(Message):
        """Enter was pressed on a row."""

        def __init__(self, view: str, row: Row):
            super().__init__()
            self.view, self.row = view, row

    def __init__(self) -> None:
        super().__init__()
        self.view = "jobs"
        self.cursor = 0
        self.top = 0
        self._page, self._from = Page([], 0), 0

    @property
    def room(self) -> int:
        """How many rows can be seen."""
        return max(1, self.size.height - bool(any(LISTINGS[self.view].columns)))

    @property
    def total(self) -> int:
        """How many rows the list has."""
        return self._page.total

    def show(self, view: str, page: Page, offset: int) -> None:
        """Show a page that begins with a row of the list."""
        self.view, self._page, self._from = view, page, offset
        self.cursor = min(self.cursor, max(0, page.total - 1))
        self.refresh()

    def go_to(self, cursor: int, offset: int | None = None) -> None:
        """Choose a row; it is seen afterwards."""
        self.cursor = min(max(0, cursor), max(0, self.total - 1))
        before = self.top
        if offset is not None:
            self.top = offset
        self.top = min(max(self.top, self.cursor - self.room + 1), self.cursor)
        if self.top != before:
            self.post_message(self.Moved())
        self.refresh()

    def chosen(self) -> Row | None:
        """Return the row that the cursor is on, where there is one."""
        at = self.cursor - self._from
        return self._page.rows[at] if 0 <= at < len(self._page.rows) else None

    def action_move(self, by: int) -> None:
        """Go up or down."""
        self.go_to(self.cursor + by)

    def action_leap(self, by: int) -> None:
        """Go up or down by a page."""
        self.go_to(self.cursor + by * self.room, self.top + by * self.room)

    def action_edge(self, last: int) -> None:
        """Go to the first or the last row."""
        self.go_to(self.total - 1 if last else 0)

    def key_enter(self) -> None:
        """Open what the cursor is on."""
        row = self.chosen()
        if row is not None:
            self.post_message(self.Chosen(self.view, row))

    def on_click(self, event: events.Click) -> None:
        """Choose the row under the pointer."""
        self.go_to(self.top + event.y - bool(any(LISTINGS[self.view].columns)))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Go down."""
        self.go_to(self.cursor + 3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Go up."""
        self.go_to(self.cursor - 3)

    def on_resize(self) -> None:
        """Another size shows other rows."""
        self.go_to(self.cursor)
        self.post_message(self.Moved())

    def render(self) -> Text:
        """Return all lines as one text."""
        listing, width = LISTINGS[self.view], max(1, self.size.width)
        rows = [row._replace(cells=tuple(map(printable, row.cells))) for row in self._page.rows]
        first = max(0, self.top - self._from)
        rows = rows[first:first + self.room]
        widths = widths_of(listing, rows, width, cell_len)
        lines = [_line(listing.columns, widths, width, "bold")] if any(listing.columns) else []
        for at, row in enumerate(rows, max(self.top, self._from)):
            style = _STYLES.get(row.mood, "")
            lines.append(_line(row.cells, widths, width, f"reverse {style}" if at == self.cursor else style))
        return Text("\n", no_wrap=True, end="").join(lines)


def _line(cells: tuple[str, ...], widths: list[int], width: int, style: str) -> Text:
    parts = [set_cell_size(cell if cell_len(cell) <= wide else f"{set_cell_size(cell, max(0, wide - 1))}…", wide)
             for cell, wide in zip(cells, widths, strict=False)]
    # Made of text, not of markup: a name in brackets is a name.
    return Text(set_cell_size("  ".join(parts), width), style=style, no_wrap=True, overflow="crop")
