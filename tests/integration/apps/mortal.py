"""A worker that dies, or waits, at a step of a job's end; the test says which in a file."""

from ce2de_os.worker.app import app as app
from tests.integration.killing import obey

obey()
