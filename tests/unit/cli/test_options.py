"""The options that all commands share."""

from __future__ import annotations

import logging

import click
import pytest
from click.testing import CliRunner

from ce2de_os.cli import cli
from ce2de_os.cli.options import connection_options, encoding_options, mode_option, with_shared_options
from tests.acceptance.test_help import ALL


def settings_of(decorator, *arguments):
    taken = []

    @click.command()
    @decorator
    def command(settings):
        taken.append(settings)

    result = CliRunner().invoke(command, arguments)
    return taken[0] if taken else result.output


def test_the_timeout_and_the_check_of_certificates_have_flags(monkeypatch):
    monkeypatch.setenv("CE2DE_OPENSEARCH_TIMEOUT_S", "7")
    assert settings_of(connection_options).opensearch.timeout_s == 7.0
    found = settings_of(connection_options, "--timeout", "2.5", "--no-verify-certs").opensearch
    assert (found.timeout_s, found.verify_certs) == (2.5, False)
    monkeypatch.setenv("CE2DE_OPENSEARCH_VERIFY_CERTS", "no")
    assert not settings_of(connection_options).opensearch.verify_certs
    assert settings_of(connection_options, "--verify-certs").opensearch.verify_certs
    assert "0" in settings_of(connection_options, "--timeout", "0")


def test_a_command_that_embeds_takes_its_cores(monkeypatch):
    monkeypatch.setenv("CE2DE_THREADS", "3")
    assert settings_of(encoding_options).threads == 3
    assert settings_of(encoding_options, "--threads", "2", "--url", "http://a").threads == 2


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_takes_verbose(path):
    assert sum("-v" in option.opts for option in ALL[path].params) == 1


def test_every_command_that_connects_takes_the_whole_connection():
    connecting = [command for command in ALL.values() if any("--url" in one.opts for one in command.params)]
    assert len(connecting) > 20
    for command in connecting:
        flags = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
        assert {"--timeout", "--verify-certs", "--no-verify-certs", "--ca-certs"} <= flags


@pytest.mark.parametrize("arguments", [("-v", "run"), ("run", "-v"), ("run", "inner", "-v")])
def test_verbose_counts_before_and_after_the_verb(arguments, monkeypatch):
    @click.group(invoke_without_command=True)
    def run():
        pass

    @run.command()
    def inner():
        pass

    monkeypatch.setattr(type(cli), "get_command", lambda *_: with_shared_options(run))
    logger = logging.getLogger("ce2de_os")
    before = logger.level, logger.handlers
    try:
        assert CliRunner().invoke(cli, arguments).exit_code == 0
        assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(before[0])
        logger.handlers = before[1]


@pytest.mark.parametrize(("word", "lines"), [("in-place", 0), ("in_place", 1), ("copy", 0)])
def test_a_mode_is_spelled_with_a_hyphen(word, lines):
    @click.command()
    @mode_option("")
    def command(mode):
        click.echo(mode)

    result = CliRunner().invoke(command, ["--mode", word])
    assert result.stdout == f"{word.replace('-', '_')}\n"
    assert result.stderr.count("\n") == lines
    assert "write --mode in-place" in result.stderr or not lines


def test_values_are_named_by_what_they_are():
    found = {
        option.metavar
        for command in ALL.values()
        for option in command.params
        if option.param_type_name == "option"
    }
    assert {"N", "FILE", "DIR", "SECONDS", "NAME"} <= found
    for path, command in ALL.items():
        help_text = command.get_help(click.Context(command))
        assert "INTEGER" not in help_text, path
        assert "so many" not in help_text, path


def test_an_unknown_mode_names_the_known_ones():
    @click.command()
    @mode_option("")
    def command(mode):
        pass

    result = CliRunner().invoke(command, ["--mode", "inplace"])
    assert result.exit_code == 2
    assert "got 'inplace', expected one of auto, copy, in-place" in result.stderr
