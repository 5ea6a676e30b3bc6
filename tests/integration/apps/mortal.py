"""A worker that dies, or waits, at a step of a job's end; the test says which in a file."""

from tests.integration.killing import obey
from workers.app import app as app

obey()
