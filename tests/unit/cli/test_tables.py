"""Tables, rendered without colors at fixed widths."""

import io

from rich.console import Console

from ce2de_os.cli.tables import compare_table, results_table, title_of
from ce2de_os.records import Hit, Leg


def hit(doc_id, rank, title=None, bm25=None, dense=None, **source):
    named = {"title": title} if title else {}
    return Hit(doc_id, 1.0 / rank, rank, {**named, **source}, bm25, dense)


def rendered(table, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()


ANSWERS = {
    "bm25": [hit("1", 1, "os.mkdir"), hit("2", 2, "shutil.copytree")],
    "dense": [hit("2", 1, "shutil.copytree")],
    "hybrid": [
        hit("2", 1, "shutil.copytree", bm25=Leg(7.25, 2), dense=Leg(1.5, 1)),
        hit("1", 2, "os.mkdir", bm25=Leg(9.0, 1)),
    ],
}


class TestCompare:
    def test_documents_that_several_modes_found_bear_the_same_letter(self):
        table = rendered(compare_table("copy a folder", ANSWERS))

        assert table.startswith("copy a folder")
        assert table.count("[A] os.mkdir") == 2  # row by row, it is met first
        assert table.count("[B] shutil.copytree") == 3
        assert "found by more than one mode" in table

    def test_the_hybrid_column_tells_the_ranks_of_both_legs(self):
        table = rendered(compare_table("copy a folder", ANSWERS))
        assert "bm25 #2 · dense #1" in table
        assert "bm25 #1 · dense -" in table

    def test_every_line_fits_into_a_narrow_terminal(self):
        answers = {mode: [hit("1", 1, "a rather long title " * 8)] for mode in ("bm25", "dense", "hybrid")}
        for width in (60, 80, 120):
            assert {len(line) for line in rendered(compare_table("q", answers), width).splitlines()} == {
                width
            }

    def test_nothing_in_common_needs_no_legend(self):
        assert "more than one" not in rendered(compare_table("q", {"bm25": [hit("1", 1)], "dense": []}))


class TestResults:
    def test_ranks_of_the_legs_and_a_snippet(self):
        row = hit("7", 1, "shutil.copytree", Leg(7.25, 3), body="Copy a whole directory tree.")
        table = rendered(results_table([row]))

        assert "shutil.copytree  7" in table
        assert "Copy a whole directory tree." in table
        assert "#3" in table
        assert "7.25" not in table

    def test_explain_adds_raw_scores(self):
        row = hit("7", 1, "shutil.copytree", Leg(7.25, 3), Leg(1.625, 2))
        table = rendered(results_table([row], explain=True))
        assert "7.25" in table
        assert "1.625" in table


class TestTitle:
    def test_a_field_of_that_kind_comes_first(self):
        assert title_of(hit("7", 1, body="text", name="json.dumps")) == "json.dumps"

    def test_else_the_first_text_else_the_id(self):
        assert title_of(hit("7", 1, year=2020, body=" text\nof two lines ")) == "text of two lines"
        assert title_of(hit("7", 1, year=2020, tags=["a"], body="  ")) == "7"

    def test_markup_and_control_characters_are_only_text(self):
        assert title_of(hit("7", 1, "\x1b[31m[bold]red[/bold]\r")) == "[31m[bold]red[/bold]"
        assert "[bold]red" in rendered(compare_table("[bold]red", {"bm25": [hit("7", 1, "[bold]red")]}))
