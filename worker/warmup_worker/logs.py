"""The worker's log: one JSON object a line on stderr, `jq`'s and a log collector's to read.

Keys: time (UTC), level, worker, message (the sentence for a person), where it says more than the sentence does also what a
``log.info(..., extra={...})`` gave, and exception (a traceback) for what must not happen. One line a state change; what happens
for every mail is counted in ``metrics`` and never logged.
"""

import json
import logging
import sys
from datetime import UTC, datetime

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Lines(logging.Formatter):
    """A record as a line of JSON. ``worker``: the number, None before it is known."""

    def __init__(self) -> None:
        super().__init__()
        self.worker: int | None = None

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end; line breaks in a message or a traceback are escaped."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "worker": self.worker,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def begin() -> Lines:
    """Log to stderr from now on. Returns the formatter, to be told the worker's number."""
    lines = Lines()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(lines)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return lines
