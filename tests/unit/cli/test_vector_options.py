"""The options of the vector field."""

import click
import pytest
from click.testing import CliRunner

from ce2de_os.cli.jobs.vector_options import FieldFactory, vector_options
from ce2de_os.errors import ConfigError
from ce2de_os.index.vector_field import VectorField


@click.command()
@vector_options
def command(vector_field: FieldFactory) -> None:
    click.echo(repr(vector_field(8, name="v")))


def run(*arguments: str) -> click.testing.Result:
    return CliRunner().invoke(command, arguments, terminal_width=100)


def test_without_flags_the_defaults_hold():
    assert run().stdout.strip() == repr(VectorField(8, "v"))


def test_every_flag_reaches_the_field():
    result = run(
        *("--engine", "faiss", "--space-type", "l2", "--m", "32", "--ef-construction", "200"),
        *("--vector-mode", "on_disk", "--compression-level", "16x", "--data-type", "float"),
    )
    expected = VectorField(8, "v", "faiss", "l2", 32, 200, "on_disk", "16x", "float", None)
    assert result.stdout.strip() == repr(expected)
    encoded = run("--engine", "faiss", "--encoder", "fp16")
    assert encoded.stdout.strip() == repr(VectorField(8, "v", "faiss", encoder="fp16"))


def test_a_combination_that_opensearch_refuses_is_told_before_anything_is_asked():
    result = run("--compression-level", "8x")
    assert isinstance(result.exception, ConfigError)
    assert "lucene has 1x, 4x, 32x" in str(result.exception)


def test_a_value_out_of_range_is_wrong_usage():
    assert run("--m", "0").exit_code == 2


@pytest.mark.parametrize(
    ("told", "vector_bytes"),
    [
        ("1x 1830", 384 * 4),
        ("2x 986", 384 * 2),
        ("4x 563", 384),
        ("8x 352", 384 / 2),
        ("16x 246", 384 / 4),
        ("32x 194", 384 / 8),
    ],
)
def test_the_help_tells_the_memory_by_the_published_formula(told, vector_bytes):
    assert round(1.1 * (vector_bytes + 8 * 16)) == int(told.split()[1])
    assert told in " ".join(run("--help").stdout.split())
