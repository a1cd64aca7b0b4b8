"""What the server saw, in order: kept in memory, and appended to a file as one JSON object a line, flushed at once.

An acceptance is written before its 250 is sent, as a server that queues a mail does: a reply that is lost leaves the
acceptance standing. No password is ever written.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from tests.waiting import until


@dataclass(frozen=True)
class Event:
    """One thing that happened. ``kind``: connect, tls, auth, mail-from, accepted, refused, dropped.

    ``at``: aware, the server's clock. ``tls``: the protocol's version, None in clear text. ``ok``: whether AUTH succeeded.
    """

    kind: str
    at: datetime
    connection: int
    tls: str | None = None
    login: str | None = None
    ok: bool | None = None
    mail_from: str | None = None
    rcpt_to: tuple[str, ...] = ()
    message_id: str | None = None
    bytes: int | None = None
    reply: str | None = None

    def line(self) -> str:
        """This event as JSON, without what it does not say."""
        said = {key: value for key, value in asdict(self).items() if value not in (None, ())}
        return json.dumps({**said, "at": self.at.isoformat()})


def parse(lines: Iterable[str]) -> list[Event]:
    """Read what ``line()`` wrote. Raises ValueError for a line that is not an event, with its number."""
    events = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
            raw["at"] = datetime.fromisoformat(raw["at"])
            raw["rcpt_to"] = tuple(raw.get("rcpt_to", ()))
            events.append(Event(**raw))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"line {number} of the server's log is not an event: {error!r}") from error
    return events


class Journal:
    """The events so far. ``path``: a file to append to as well."""

    def __init__(self, path: Path | None = None) -> None:
        self.events: list[Event] = []
        self._file: TextIO | None = path.open("a", encoding="utf-8") if path else None

    def write(self, kind: str, connection: int, **said: object) -> None:
        """Note an event that happened now."""
        event = Event(kind, datetime.now(UTC), connection, **said)  # type: ignore[arg-type]
        self.events.append(event)
        if self._file:
            self._file.write(event.line() + "\n")
            self._file.flush()

    def of(self, kind: str) -> list[Event]:
        """The events of one kind."""
        return [event for event in self.events if event.kind == kind]

    @property
    def accepted(self) -> list[Event]:
        """Every mail the server took responsibility for."""
        return self.of("accepted")

    async def until(self, kind: str, count: int = 1) -> list[Event]:
        """Wait for ``count`` events of a kind."""
        await until(lambda: len(self.of(kind)) >= count, f"{count} events {kind}")
        return self.of(kind)

    def close(self) -> None:
        """Close the file; the events stay."""
        if self._file:
            self._file.close()
