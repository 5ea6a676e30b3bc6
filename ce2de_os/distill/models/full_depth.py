"""Convert the teacher at full depth to the form of a student, to export it to an artifact of the same space.

Documents embedded by it and queries embedded by the student make a slower but better index.
"""

from __future__ import annotations

from pathlib import Path

from ce2de_os.distill.data.prefixes import teacher_prefixes
from ce2de_os.distill.models.bodies import as_bert
from ce2de_os.distill.models.folder import RECIPE_FILE, SAMPLE_FILE, write_student
from ce2de_os.distill.models.hub import load_tokenizer
from ce2de_os.distill.models.init import cut_student
from ce2de_os.distill.models.teacher import load_teacher
from ce2de_os.errors import DataError
from ce2de_os.reading import RUN_BYTES, read_json, read_object


def write_full_depth(run: Path, folder: Path) -> None:
    """Write the teacher of the finished student in ``run`` as a student with all of its layers.

    Raises:
        DataError: ``run`` holds no finished student.
        ConfigError: the teacher cannot be loaded, or has no weights that can be copied.
    """
    try:
        recipe = read_object(run / RECIPE_FILE)
        sample = read_json(run / SAMPLE_FILE, RUN_BYTES)
    except DataError as error:
        raise DataError(
            f"{run}: not a finished student ({error}); pass a folder of 'ce2de distill'"
        ) from error
    if not isinstance(recipe.get("teacher"), str) or not isinstance(recipe.get("max_length"), int):
        raise DataError(
            f"{run / RECIPE_FILE}: has no teacher or max_length; pass a folder of 'ce2de distill'"
        )
    teacher = load_teacher(recipe["teacher"])
    body = as_bert(teacher.model.cpu(), teacher.name)
    layers = list(range(body.config.num_hidden_layers))
    student = cut_student(
        body,
        layers,
        dim=teacher.dim,
        readout="last",
        pooling=teacher.pooling,
    )
    tokenizer = load_tokenizer(teacher.name, body.config.vocab_size)
    before = teacher_prefixes(recipe)
    space = teacher.space_of(before)
    facts = {"teacher": teacher.name, "layers": layers, "texts": {}, "space": space, **before.plain()}
    write_student(folder, student, tokenizer, recipe["max_length"], sample, facts)
