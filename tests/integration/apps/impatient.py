"""A worker whose broker takes a message back long before a task is done."""

from ce2de_os.worker.app import app

VISIBILITY_TIMEOUT_S = 4

app.conf.broker_transport_options = {
    **app.conf.broker_transport_options,
    "visibility_timeout": VISIBILITY_TIMEOUT_S,
}
