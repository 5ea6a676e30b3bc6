"""A worker that dies, or waits, at a step of a job's end; the test says which in a file."""

from ce2de_os.reindex.syncing import late_writes
from ce2de_os.worker.app import app as app
from tests.integration.killing import obey

obey()
late_writes.QUIET_S = 10.0  # far above what a write takes here; a job without a block ends so much sooner
