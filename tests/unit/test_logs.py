from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

from ce2de_os import logs


def record(name: str = "ce2de_os.reindex.slices.pipeline", **extra: Any) -> logging.LogRecord:
    values = {"name": name, "levelno": logging.INFO, "levelname": "INFO", "created": 1.5}
    return logging.makeLogRecord({**values, "msg": "Slice %d done", "args": (3,), **extra})


def test_json_is_one_object_on_one_line() -> None:
    line = logs.formatter("json").format(record(action="slice_done", documents=7))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:01.500+00:00",
        "level": "INFO",
        "logger": "ce2de_os.reindex.slices.pipeline",
        "message": "Slice 3 done",
        "action": "slice_done",
        "documents": 7,
    }


def test_json_of_odd_values_and_errors() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        odd = record(kinds={"a"}, level="mine", exc_info=sys.exc_info())
    line = logs.formatter("json").format(odd)
    entry = json.loads(line)
    assert "\n" not in line
    assert entry["kinds"] == "{'a'}"
    assert entry["level"] == "INFO"
    assert entry["exception"].endswith("ValueError: first\nsecond")


def test_text_appends_the_keys() -> None:
    line = logs.formatter("text", "%(levelname)s %(message)s").format(record(slice=3, action="slice_done"))
    assert line == "INFO Slice 3 done [action=slice_done slice=3]"


def test_what_other_libraries_attach_is_left_out() -> None:
    foreign = record("celery.app.trace", data={"args": "anything"})
    assert "anything" not in logs.formatter("json").format(foreign)
    assert logs.formatter("text", "%(message)s").format(foreign) == "Slice 3 done"


WORKER = """
import logging
from ce2de_os.worker.app import app
app.log.setup(loglevel="INFO", redirect_stdouts=True)
logging.getLogger("ce2de_os.reindex").info("Slice taken", extra={"slice": 3})
logging.getLogger("ce2de_os.reindex").debug("Page written")
logging.getLogger("celery.worker").info("ready")
logging.getLogger("celery.task").info("Task received")
"""


def test_a_worker_writes_every_record_once_as_json(monkeypatch: Any) -> None:
    monkeypatch.setenv("CE2DE_LOG_FORMAT", "json")
    ended = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True, check=True)
    entries = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [(entry["logger"], entry["message"]) for entry in entries] == [
        ("ce2de_os.reindex", "Slice taken"),
        ("celery.worker", "ready"),
        ("celery.task", "Task received"),
    ]
    assert entries[0]["slice"] == 3


def test_a_worker_writes_text_with_keys(monkeypatch: Any) -> None:
    monkeypatch.setenv("CE2DE_LOG_FORMAT", "text")
    ended = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True, check=True)
    first = ended.stderr.splitlines()[0]
    assert "INFO/MainProcess] Slice taken [slice=3]" in first


def test_a_value_cannot_forge_a_line_of_text() -> None:
    record = logging.makeLogRecord({"msg": "Slice failed", "name": "ce2de_os.x", "levelname": "ERROR"})
    record.error = "first\n2026-01-01 ERROR forged\r\x1b[0m"
    line = logs.KeyValueFormatter("%(message)s").format(record)
    assert line == r"Slice failed [error=first\n2026-01-01 ERROR forged\r\x1b[0m]"
