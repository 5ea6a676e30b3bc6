"""The Celery application by its short name, in a checkout only: a project may have ``workers`` of its own."""

from __future__ import annotations

from ce2de_os.worker.app import app as app
