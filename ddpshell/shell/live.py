"""The content of a live table: documents in rows that change in place. It knows neither keys nor a terminal.

Thousands of documents may come, and change a thousand times in a second, while the user presses keys. So changes are
applied in portions that a caller limits, the text of a cell is made once for each value, and only visible rows are laid out.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from ..exceptions import CommandError, QueryError
from ..minimongo.selector import Matcher, compile_selector
from ..protocol.codec import encode_document_id
from ..protocol.documents import Document, Order
from ..protocol.events import DocumentAdded, DocumentChanged, DocumentEvent, DocumentMoved, DocumentRemoved
from ..text.escaping import escape_line
from ..text.formatting import Limits, value_fragments
from ..text.literals import parse_argument
from ..text.palette import StyledText
from ..text.prose import cell_width, clip, padded, plural
from ..text.tables import cell_text

if TYPE_CHECKING:
    from ..client import Client
    from ..client.collection import Collection
    from ..client.events import Event


#: Seconds for which a changed cell is lit.
LIT_SECONDS = 1.0

# How much of a value is in a cell. Enter shows the whole document.
_CELL = Limits(items=20, characters=100, depth=3)
# The widest column, except for `_id`.
_WIDEST = 40
# The least width of a column that is cut.
_NARROWEST = 6
_GAP = "  "

# Changes and rows between two looks at the time.
_PORTION = 20


class _Row(Struct, eq=False):
    """A document, and the texts of its cells.

    Args:
        document: The document.
        lit: The times at which cells changed, by field.
        is_match: Whether the filter accepts the document.
        cells: The texts that were needed, by field.
    """

    document: Document
    lit: dict[str, float]
    is_match: bool = True
    cells: dict[str, str] = {}

    def cell(self, name: str) -> str:
        text = self.cells.get(name)
        if text is None:
            text = self.cells[name] = cell_text(self.document[name], _CELL) if name in self.document else ""
        return text

    def is_number(self, name: str) -> bool:
        value = self.document.get(name)
        return isinstance(value, (int, float)) and not isinstance(value, bool)


class _Collection(Struct, eq=False):
    """The rows of one collection.

    Args:
        rows: The rows by the id of the document on the wire.
        order: The server's order; None if the order is that of arrival (C46).
        fields: The fields in the order of their first appearance.
        widths: The widths of the columns. They only grow, so that the table does not jump.
    """

    rows: dict[str, _Row] = {}
    order: Order | None = None
    fields: dict[str, None] = {}
    widths: dict[str, int] = {}

    def in_order(self) -> Iterator[_Row]:
        return iter(self.rows.values()) if self.order is None else (self.rows[wire_id] for wire_id in self.order)


class LiveTable:
    """The documents, the filter, the selected row and the visible part.

    `put` may be called on any thread; all other methods on one thread only.

    Args:
        now: Returns the time in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._events: deque[DocumentEvent] = deque()
        self._collections: dict[str, _Collection] = {}
        #: The collection that is shown; None for that of the first document.
        self.shown: str | None = None
        #: The text of the filter: a selector if it begins with a brace, otherwise text that a cell must contain.
        self.filter = ""
        #: What is wrong with the filter; "" if nothing is.
        self.problem = ""
        self._accepts: Callable[[_Row], bool] | None = None
        # The rows that the filter has not seen yet.
        self._unchecked: deque[_Row] = deque()
        # The rows that match, in order; None if they must be found again.
        self._matching: list[_Row] | None = None
        self._selected: _Row | None = None
        self._place = 0
        self._top = 0
        self._height = 1
        # The index of the first column after `_id`.
        self._left = 0
        #: Whether the selected document is open, and its first visible line.
        self.is_open = False
        self._open_top = 0
        # The times of the last changes, for their rate.
        self._recent: deque[tuple[float, int]] = deque()

    # ------------------------------------------------------------------------------------------------------- changes

    def put(self, event: DocumentEvent) -> None:
        """Add a change, which `work` applies."""
        self._events.append(event)

    def work(self, seconds: float) -> bool:
        """Apply changes and the filter for at most about this time. Returns whether something is left."""
        now = self._now()
        end = now + seconds
        count = 0
        while self._events and (not count or self._now() < end):
            for _ in range(min(_PORTION, len(self._events))):
                self._apply(self._events.popleft(), now)
                count += 1
        if count:
            self._recent.append((now, count))
        while self._unchecked and self._now() < end:
            for _ in range(min(_PORTION, len(self._unchecked))):
                row = self._unchecked.popleft()
                row.is_match = self._is_match(row)
            self._matching = None
        return bool(self._events or self._unchecked)

    def _apply(self, event: DocumentEvent, now: float) -> None:
        collection = self._collections.setdefault(event.collection, _Collection())
        if self.shown is None:
            self.shown = event.collection
        wire_id = encode_document_id(event.id)
        row = collection.rows.get(wire_id)
        match event:
            case DocumentAdded(id=id_, fields=fields):
                document = {"_id": id_, **fields}
                row = _Row(document, dict.fromkeys(document, now))
                collection.rows[wire_id] = row
                collection.fields.update(dict.fromkeys(fields))
                if collection.order is not None:
                    collection.order.place(wire_id, None)
                row.is_match = self._is_match(row)
                self._matching = None
            case DocumentChanged(fields=fields, cleared=cleared) if row is not None:
                row.document.update(fields)
                collection.fields.update(dict.fromkeys(fields))
                for name in (*fields, *cleared):
                    row.cells.pop(name, None)
                    row.lit[name] = now
                for name in cleared:
                    row.document.pop(name, None)
                was_match, row.is_match = row.is_match, self._is_match(row)
                if was_match != row.is_match:
                    self._matching = None
            case DocumentRemoved() if row is not None:
                del collection.rows[wire_id]
                if collection.order is not None:
                    collection.order.remove(wire_id)
                self._matching = None
            case DocumentMoved(before=before) if row is not None:
                if collection.order is None:
                    collection.order = Order(collection.rows)
                collection.order.place(wire_id, None if before is None else encode_document_id(before))
                self._matching = None

    # -------------------------------------------------------------------------------------------------------- filter

    def set_filter(self, text: str) -> None:
        """Show only documents that match. An invalid selector leaves the filter before it in force."""
        self.filter, self.problem = text, ""
        try:
            self._accepts = _filter(text)
        except (CommandError, QueryError) as error:
            self.problem = str(error)
            return
        self._unchecked = deque(self._collection.in_order())
        while self._accepts is None and self._unchecked:
            self._unchecked.popleft().is_match = True
        self._matching = None

    def _is_match(self, row: _Row) -> bool:
        return self._accepts is None or self._accepts(row)

    @property
    def _collection(self) -> _Collection:
        """The collection that is shown; before the first document, an empty one."""
        return self._collections.get(self.shown or "", _Collection())

    @property
    def matching(self) -> list[_Row]:
        """The rows that match the filter, in order."""
        if self._matching is None:
            self._matching = [row for row in self._collection.in_order() if row.is_match]
            self._find_selected()
        return self._matching

    # --------------------------------------------------------------------------------------------------------- moves

    def move(self, rows: int) -> None:
        """Select another row, so many rows below; or scroll the open document."""
        if self.is_open:
            self._open_top = max(0, self._open_top + rows)
            return
        matching = self.matching
        self._place = min(max(0, self._place + rows), max(0, len(matching) - 1))
        self._selected = matching[self._place] if matching else None

    def move_page(self, pages: int) -> None:
        """Move by the height of the window."""
        self.move(pages * max(1, self._height - 1))

    def move_to_end(self, *, last: bool) -> None:
        """Select the first or the last row."""
        self.move(sys.maxsize // 2 if last else -sys.maxsize // 2)

    def move_columns(self, columns: int) -> None:
        """Show columns further to the right, or to the left."""
        self._left = min(max(0, self._left + columns), max(0, len(self._collection.fields) - 1))

    def next_collection(self, step: int = 1) -> None:
        """Show another collection."""
        names = list(self._collections)
        if self.shown not in names or len(names) < 2:
            return
        self.shown = names[(names.index(self.shown) + step) % len(names)]
        self._selected, self._place, self._top, self._left = None, 0, 0, 0
        self.set_filter(self.filter)

    def open(self) -> None:
        """Open the selected document, if there is one."""
        self.is_open = bool(self.matching)
        self._open_top = 0

    def close(self) -> None:
        """Close the open document."""
        self.is_open = False
        # It may be gone.
        self._matching = None

    def _find_selected(self) -> None:
        """Keep the selected document selected if its place has changed; if it is gone, select the one in its place."""
        rows = self._matching or []
        place = self._place
        if self._selected is not None and (place >= len(rows) or rows[place] is not self._selected):
            place = next((index for index, row in enumerate(rows) if row is self._selected), place)
        self._place = min(place, max(0, len(rows) - 1))
        # An open document stays, also if it is removed or no longer matches.
        if not self.is_open:
            self._selected = rows[self._place] if rows else None

    @property
    def collections(self) -> int:
        """The number of collections."""
        return len(self._collections)

    # -------------------------------------------------------------------------------------------------------- layout

    def next_change(self) -> float | None:
        """Return the seconds until the last lit cell goes out; None if no cell is lit."""
        return None if not self._recent else self._recent[-1][0] + LIT_SECONDS - self._now()

    def title(self, what: str, width: int) -> StyledText:
        """Lay out the first line: what is shown, how many documents there are, and how fast they change.

        Args:
            what: The publication, escaped.
            width: The number of columns.
        """
        now = self._now()
        while self._recent and now - self._recent[0][0] > LIT_SECONDS:
            self._recent.popleft()
        rate = sum(count for _, count in self._recent)
        parts = []
        for name, collection in self._collections.items():
            is_marked = name == self.shown and len(self._collections) > 1
            heading = f"[{escape_line(name)}]" if is_marked else escape_line(name)
            parts.append(f"{heading}: {plural(len(collection.rows), 'document')}")
        if rate:
            parts.append(f"{plural(rate, 'change')}/s")
        text = " · ".join([what, *(parts or ["no documents"])])
        return [("live.title", padded(clip(text, width), width))]

    def body(self, width: int, height: int) -> list[StyledText]:
        """Lay out the window: the headings and the rows, or the open document. There are at most `height` lines."""
        self._height = max(1, height - 1)
        if self.is_open and self._selected is not None:
            return self._document_lines(self._selected, width, height)
        rows = self.matching
        self._top = min(max(0, self._top, self._place - self._height + 1), self._place)
        self._top = max(0, min(self._top, len(rows) - self._height))
        visible = rows[self._top : self._top + self._height]
        columns, omitted = self._columns(visible, width)
        now = self._now()
        note = f"+{plural(omitted, 'field')}" if omitted else ""
        heading = _GAP.join([padded(clip(escape_line(name), size), size) for name, size in columns])
        heading = padded(clip(heading, width - len(note) - 1), width - len(note)) + note if note else heading
        lines: list[StyledText] = [[("live.heading", clip(heading, width))]]
        for index, row in enumerate(visible):
            lines.append(_row_line(row, columns, width, now, is_selected=self._top + index == self._place))
        # A window of three lines has no room for the headings.
        return lines[-1:] if height == 1 else lines

    def _columns(self, visible: Sequence[_Row], width: int) -> tuple[list[tuple[str, int]], int]:
        """Return the names and widths of the columns that fit, and the number of fields that are left out."""
        collection = self._collection
        if not self._collections:
            return [], 0
        names = ["_id", *islice(collection.fields, self._left, None)]
        widths = collection.widths
        columns: list[tuple[str, int]] = []
        left = width
        for name in names:
            size = max([widths.get(name, cell_width(name)), *(cell_width(row.cell(name)) for row in visible)])
            size = widths[name] = size if name == "_id" else min(size, _WIDEST)
            room = left - (len(_GAP) if columns else 0)
            if columns and room < min(size, _NARROWEST):
                break
            size = min(size, max(1, room))
            columns.append((name, size))
            left = room - size
            if left <= 0:
                break
        return columns, len(collection.fields) + 1 - len(columns)

    def _document_lines(self, row: _Row, width: int, height: int) -> list[StyledText]:
        text: StyledText = []
        for name, value in row.document.items():
            heading = f"{escape_line(name)}: "
            style = "live.row.lit" if name in _lit(row, self._now()) else "key"
            limits = Limits(2000, 20_000, 50)
            text += [("", "\n")] if text else []
            text += [(style, heading), *value_fragments(value, width=width, limits=limits, column=cell_width(heading))]
        lines = _split(text, width)
        self._open_top = min(self._open_top, max(0, len(lines) - height))
        return lines[self._open_top : self._open_top + height]


def _filter(text: str) -> Callable[[_Row], bool] | None:
    if not text.strip():
        return None
    if text.lstrip().startswith("{"):
        selector: Any = parse_argument(text.strip())
        matches: Matcher = compile_selector(selector)
        return lambda row: matches(row.document)
    wanted = text.casefold()
    return lambda row: any(wanted in row.cell(name).casefold() for name in row.document)


def _lit(row: _Row, now: float) -> dict[str, float]:
    """Return the fields that changed a moment ago, and forget the others."""
    if row.lit:
        row.lit = {name: when for name, when in row.lit.items() if now - when < LIT_SECONDS}
    return row.lit


def _row_line(
    row: _Row, columns: Sequence[tuple[str, int]], width: int, now: float, *, is_selected: bool
) -> StyledText:
    lit = _lit(row, now)
    base = "live.selected" if is_selected else "live.row"
    line: StyledText = []
    used = 0
    for name, size in columns:
        if line:
            line.append((base, _GAP))
            used += len(_GAP)
        style = f"{base}.lit" if name in lit else base
        line.append((style, padded(clip(row.cell(name), size), size, is_right=row.is_number(name))))
        used += size
    if used < width:
        line.append((base, " " * (width - used)))
    return line


def _split(text: StyledText, width: int) -> list[StyledText]:
    """Split a text into lines, and break those that are too long."""
    lines: list[StyledText] = [[]]
    used = 0
    for style, piece in text:
        for index, part in enumerate(piece.split("\n")):
            if index:
                lines.append([])
                used = 0
            for character in part:
                size = cell_width(character)
                if used + size > width:
                    lines.append([])
                    used = 0
                if lines[-1] and lines[-1][-1][0] == style:
                    lines[-1][-1] = (style, lines[-1][-1][1] + character)
                else:
                    lines[-1].append((style, character))
                used += size
    return lines


# ---------------------------------------------------------------------------------------------------------- the source


def observe(collection: Collection, put: Callable[[DocumentEvent], object], selector: Any = None) -> Callable[[], None]:
    """Report the documents of a collection as added, and then each change.

    Args:
        collection: The collection.
        put: Called with each change, at first on this thread and later on the client's thread.
        selector: Selects documents; None selects all.

    Returns:
        A function that ends the observation.
    """
    name = collection.name
    return collection.observe(
        added=lambda id_, fields: put(DocumentAdded(name, id_, fields)),
        changed=lambda id_, fields, cleared: put(DocumentChanged(name, id_, fields, cleared)),
        removed=lambda id_: put(DocumentRemoved(name, id_)),
        moved=lambda id_, before: put(DocumentMoved(name, id_, before)),
        selector=selector,
    )


def observe_all(
    client: Client, put: Callable[[DocumentEvent], object], collections: Sequence[str] = ()
) -> Callable[[], None]:
    """Report the documents of all collections of a client, and then each change, in order.

    Args:
        client: The client.
        put: Called with each change, on the client's thread.
        collections: The names of the collections; none of them for all collections.

    Returns:
        A function that ends the observation.
    """
    lock = threading.Lock()
    observed: dict[str, Callable[[], None]] = {}

    def start(name: str) -> None:
        with lock:
            if name in observed or (collections and name not in collections):
                return
            observed[name] = lambda: None
        observed[name] = observe(client.collection(name), put)

    def listen(event: Event) -> None:
        if isinstance(event, DocumentAdded):
            start(event.collection)

    stop_listening = client.on_event(listen)
    for name in client.collections:
        start(name)

    def stop() -> None:
        stop_listening()
        for stop_observing in list(observed.values()):
            stop_observing()

    return stop
