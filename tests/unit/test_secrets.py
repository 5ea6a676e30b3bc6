"""No password appears in what people or logs get to see, wherever it stands and whatever it holds."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import traceback
from base64 import b64decode
from pathlib import Path
from urllib.parse import quote

import pytest
from celery import Celery
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kombu import Connection

from ce2de_os import logs, redaction
from ce2de_os.cli import cli
from ce2de_os.config import OpenSearchSettings, Settings
from ce2de_os.errors import ConfigError
from ce2de_os.index.client import backend_errors, connect
from ce2de_os.redaction import mask_url
from ce2de_os.worker.queue import CeleryQueue

settings.register_profile("secrets", deadline=None, max_examples=100)
settings.load_profile("secrets")

# Letters that no message of ours has, mixed with everything that has a meaning in a URL.
_ODD = st.text(
    st.sampled_from("/#?@%:;&=+[]\\ '\"<>{}|^`~,!$()*é€漢🎈\u0301\t\n") | st.characters(codec="utf-8"),
    max_size=6,
)
PASSWORDS = st.builds(lambda a, b: f"Zq7{a}Xw9{b}Kj4", _ODD, _ODD)
PARTS = ("Zq7", "Xw9", "Kj4")
EXAMPLES = [
    "Zq7/Xw9Kj4",
    "Zq7#Xw9Kj4",
    "Zq7?Xw9Kj4",
    "Zq7@Xw9Kj4",
    "Zq7%Xw9Kj4",
    "Zq7%41Xw9Kj4",
    "Zq7[Xw9]Kj4",
    "Zq7://Xw9@Kj4",
]
# Where a password may stand, rightly or wrongly.
URLS = (
    "{scheme}://admin:{password}@127.0.0.1:9/0",
    "{scheme}://:{password}@127.0.0.1:9",
    "{scheme}://{password}@127.0.0.1:9",
    "admin:{password}@127.0.0.1:9",
    "{password}@127.0.0.1:9",
    "//admin:{password}@127.0.0.1:9",
    "{scheme}:admin:{password}@127.0.0.1",
    "{scheme}://127.0.0.1:9/0?password={password}",
    "{scheme}://127.0.0.1:9?{password}",
    "{scheme}://127.0.0.1:9#{password}",
    "{scheme}://127.0.0.1:{password}",
    "{scheme}://{password}",
    "{password}",
)  # fmt: skip


def filled(form: str, scheme: str, password: str) -> str:
    """The form with a password; in a user's place one without a colon, for there the colon ends the user."""
    if "{password}@" in form and ":{password}@" not in form:
        password = password.replace(":", "")
    return form.format(scheme=scheme, password=password)


def urls(*schemes: str) -> st.SearchStrategy[str]:
    return st.builds(
        lambda form, scheme, password, encode: filled(
            form, scheme, quote(password, safe="") if encode else password
        ),
        st.sampled_from(URLS), st.sampled_from(schemes), PASSWORDS, st.booleans(),
    )  # fmt: skip


def is_secret_free(text: str) -> bool:
    return not any(part in text for part in PARTS)


@given(urls("http", "https", "HTTP", "ftp"))
def test_no_password_in_any_message_about_the_cluster_address(url: str) -> None:
    try:
        settings = OpenSearchSettings(url=url, timeout_s=1)
    except ConfigError as error:
        assert is_secret_free("".join(traceback.format_exception(error)))
        return
    assert is_secret_free(f"{settings!r}{settings.address!r}") or "@" not in url
    if "@" in url:
        client = connect(settings)
        assert is_secret_free(f"{client!r}{client.transport.hosts}{settings.address.place}")


@given(urls("redis", "rediss", "redis+socket", "amqp"))
def test_no_password_in_any_message_about_the_broker(url: str) -> None:
    try:
        settings = Settings(broker_url=url)
    except ConfigError as error:
        assert is_secret_free("".join(traceback.format_exception(error)))
        with pytest.raises(ConfigError) as refused:
            CeleryQueue(url)
        assert is_secret_free(str(refused.value))
        return
    if "@" in url:
        with Connection(settings.broker_url) as connection:
            assert is_secret_free(
                f"{settings!r}{mask_url(settings.broker_url)}{connection.as_uri()}{connection!r}"
            )


@given(st.sampled_from([form for form in URLS if "}@" in form or "?" in form]), PASSWORDS)
def test_masking_needs_no_valid_address(form: str, password: str) -> None:
    assert is_secret_free(mask_url(filled(form, "x", password)))


def example_passwords(test):  # type: ignore[no-untyped-def]
    for password in EXAMPLES:
        test = example(password)(test)
    return given(PASSWORDS)(test)


@example_passwords
def test_an_encoded_password_arrives_as_it_is(password: str) -> None:
    encoded = quote(password, safe="")
    kwargs = OpenSearchSettings(url=f"https://me:{encoded}@search.example.org").client_kwargs()
    assert kwargs["hosts"] == ["https://search.example.org"]
    header = (
        connect(OpenSearchSettings(url=f"http://me:{encoded}@127.0.0.1:9")).transport.get_connection().headers
    )
    assert b64decode(header["authorization"].removeprefix("Basic ")).decode() == f"me:{password}"
    with Connection(Settings(broker_url=f"redis://:{encoded}@127.0.0.1:9/2").broker_url) as connection:
        assert (connection.password, connection.virtual_host) == (password, "2")


@example_passwords
def test_a_password_of_its_own_arrives_as_it_is(password: str) -> None:
    client = connect(OpenSearchSettings(url="http://127.0.0.1:9", username="me", password=password))
    header = client.transport.get_connection().headers
    assert b64decode(header["authorization"].removeprefix("Basic ")).decode() == f"me:{password}"
    assert is_secret_free(repr(client))


@example_passwords
def test_no_password_in_log_records_whoever_writes_them(password: str) -> None:
    OpenSearchSettings(password=password)
    record = logging.makeLogRecord({
        "name": "ce2de_os.x", "msg": "cannot reach %s as %r",
        "args": (f"redis://a:{quote(password)}@h/0", password),
        "levelname": "ERROR", "detail": {"seen": [password]}, "note": password,
    })  # fmt: skip
    for formatter in (logs.formatter("text"), logs.formatter("json"), logs.Redacting(logging.Formatter())):
        assert is_secret_free(formatter.format(record))
    assert json.loads(logs.formatter("json").format(record))["note"] == "***"


def test_no_password_in_the_records_of_the_libraries() -> None:
    """Celery, kombu, redis, opensearch-py and urllib3, at DEBUG and with tracebacks."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.Redacting(logging.Formatter("%(name)s %(message)s")))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        opensearch = OpenSearchSettings(url="http://me:Zq7%2FXw9%23Kj4@127.0.0.1:9", timeout_s=1)
        try:
            with backend_errors("connect"):
                connect(opensearch).info()
        except Exception:
            logging.getLogger("opensearch").exception("refused")
        broker = Settings(broker_url="redis://:Zq7%2FXw9%23Kj4@127.0.0.1:9/0").broker_url
        try:
            with Celery(broker=broker, set_as_current=False) as app:
                app.control.ping(timeout=0.1)
        except Exception:
            logging.getLogger("celery").exception("no broker at %s", broker)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert "127.0.0.1" in stream.getvalue()
    assert is_secret_free(stream.getvalue())


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )


@pytest.mark.parametrize("password", EXAMPLES)
@pytest.mark.parametrize("form", URLS[:5])
def test_commands_refuse_a_bad_address_in_one_line(password: str, form: str) -> None:
    for name, scheme in (("CE2DE_OPENSEARCH_URL", "https"), ("CE2DE_BROKER_URL", "redis")):
        url = form.format(scheme=scheme, password=password)
        for arguments in (
            ["doctor", "--json"],
            ["reindex", "status", "--json"],
            ["local", "env"],
        ):
            done = CliRunner().invoke(cli, arguments, env={name: url, "CE2DE_HOME": "/nonexistent"})
            assert is_secret_free(done.output + repr(done.exception)), arguments


def test_a_worker_with_a_bad_address_shows_no_part_of_it() -> None:
    done = run(
        "from celery.__main__ import main; import sys\n"
        "sys.argv = ['celery', '-A', 'ce2de_os.worker.app', 'worker']; main()",
        CE2DE_BROKER_URL="redis://:Zq7/Xw9#Kj4@127.0.0.1/0",
    )  # fmt: skip
    assert done.returncode
    assert "CE2DE_BROKER_URL" in done.stderr
    assert is_secret_free(done.stdout + done.stderr)


def test_no_password_in_a_traceback() -> None:
    code = (
        "from ce2de_os import redaction; from ce2de_os.config import OpenSearchSettings; import threading\n"
        "redaction.redact_tracebacks(); OpenSearchSettings(password='Zq7\\u20acXw9')\n"
        "def fail():\n    raise ValueError('got Zq7\\u20acXw9, http://a:Kj4@h/')\n"
        "thread = threading.Thread(target=fail); thread.start(); thread.join(); {}['Zq7\\u20acXw9']"
    )
    done = run(code)
    assert done.stderr.count("Traceback") == 2
    assert is_secret_free(done.stderr)


def test_what_contradicts_itself_is_refused() -> None:
    for given_ in ({"username": "you"}, {"aws_region": "eu-central-1"}):
        with pytest.raises(ConfigError, match="got a user in the address"):
            OpenSearchSettings(url="http://me:Zq7@127.0.0.1", **given_)
    with pytest.raises(ConfigError, match="got a name with a ':'"):
        OpenSearchSettings(username="a:b")


@pytest.mark.parametrize(
    "url",
    ["redis://h", "redis://h:1/2", "rediss://h/0?ssl_cert_reqs=required", "redis:///0", "redis://[::1]:6379/0",
     "redis+socket:///tmp/redis.sock", "redis+socket:///tmp/redis.sock?virtual_host=3", "redis://my_redis"],
)  # fmt: skip
def test_right_addresses_stay_as_they_are(url: str) -> None:
    assert Settings(broker_url=url).broker_url == url


def test_remembered_secrets_have_a_bound() -> None:
    for number in range(1000):
        redaction.remember(f"secret {number}")
    assert redaction.redact("secret 999") == "***"
    assert len(redaction._remembered) <= 256


def test_an_account_without_a_home_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no home folder"):
        Settings.from_env({"CE2DE_CACHE": "~no-such-account/cache"})
