"""Log lines of the worker: JSON on standard error, with nothing of any patient.

Libraries put keys and messages into theirs, so of a line that is not our own only the template is written.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Final

import msgspec

logger: Final = logging.getLogger("cmvigil")
_OWN: Final = frozenset(("why", "partitions", "states", "port", "ruleset", "topic", "sink", "status", "count"))
_TEMPLATE_LENGTH: Final = 200


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        own = record.name == logger.name
        template = str(record.msg)
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage() if own else template[:_TEMPLATE_LENGTH],
        }
        if own:
            line |= {name: value for name, value in record.__dict__.items() if name in _OWN}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
        return msgspec.json.encode(line).decode()


def set_up_logs(level: str) -> None:
    """Sends log lines to standard error. Libraries, which build a record for every message, speak from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("faust", "mode", "aiokafka", "kafka", "asyncio", "aiohttp"):
        logging.getLogger(name).setLevel(logging.ERROR if name in {"faust", "mode"} else logging.WARNING)
    logger.setLevel(level.upper())
