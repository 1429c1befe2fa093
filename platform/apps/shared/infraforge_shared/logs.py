"""One JSON object a line on stdout. No code passes the value of a credential to a logger."""

from __future__ import annotations

import datetime
import json
import logging
import sys
from collections.abc import Iterable

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Writes time, level, logger, message, the request's id if any, and the fields of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := _request_id():
            line["request_id"] = request_id
        line.update((k, v) for k, v in vars(record).items() if k not in _STANDARD)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class SlowReaders(logging.Filter):
    """Replaces the error and traceback that gunicorn logs for a slow reader by one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if record.name == "gunicorn.error" and isinstance(error, TimeoutError):
            record.levelno, record.levelname = logging.INFO, "INFO"
            record.msg, record.args, record.exc_info = "a reader was too slow", (), None
        return True


def install(quiet: Iterable[str] = ()) -> None:
    """Log to stdout as JSON lines. quiet: loggers of which only errors are logged."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in quiet:
        logging.getLogger(name).setLevel(logging.ERROR)


def _request_id() -> str:
    flask = sys.modules.get("flask")  # not every process answers requests
    if flask is None or not flask.has_request_context():
        return ""
    return str(flask.g.get("request_id", ""))
