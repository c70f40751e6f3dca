import json
from dataclasses import replace

from curate import Recipe
from curate.report.blocks import Item, Table, to_markdown
from curate.report.evaluation import evaluation_blocks, search_blocks
from curate.report.run import (
    example_drops,
    funnel,
    note_rows,
    noted_tables,
    run_report,
    source_funnel,
    top_reasons,
)
from tests.report.conftest import HOSTILE, make_pair, write_pairs


def test_the_funnel_counts_every_stage(made):
    run, _ = made
    table = funnel(run)
    cells = {row[0]: row[1:5] for row in table.rows}
    assert cells["read"] == ("24", "24", "", "")
    assert cells["clean"] == ("24", "23", "1", "query_few_chars 1")
    assert cells["exact"] == ("23", "22", "1", "exact_duplicate 1")
    assert cells["out"] == ("22", "22", "", "")
    assert [row[-1] for row in table.rows] == ["", "", "", ""]
    again = run.recipe.run(run.folder.parent.parent, workers=1)
    assert [row[-1] for row in funnel(again).rows] == ["yes"] * 4


def test_top_reasons_adds_up_the_rest():
    dropped = {"a": 1, "b": 5000, "c": 2, "d": 3, "e": 1}
    assert top_reasons(dropped) == "b 5,000, d 3, c 2, 2 more 2"
    assert top_reasons({}) == ""


def test_a_recipe_without_model_and_evaluation_has_a_report(made):
    run, _ = made
    titles = [section.title for section in run_report(run).sections]
    assert titles == [
        "What became of the records",
        "Pairs of `out`, for example",
        "Dropped, for example",
        "Where everything lies",
    ]


def test_the_report_is_the_same_each_time_and_depends_on_the_seed(made):
    run, _ = made
    first, again, other = (to_markdown(run_report(run, seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_drops_come_from_different_stages(made):
    run, _ = made
    items = example_drops(run, 3, seed=0)
    assert [item.title for item in items] == [
        "clean: query_few_chars (1)",
        "exact: exact_duplicate (1)",
    ]
    assert ("query", "Sum") in items[0].fields


def test_noted_tables_have_sections_of_their_own(made):
    run, _ = made
    artefact = run.artefacts["exact"]
    notes = artefact.manifest.info["notes"]
    rows = [["python", "0.5"], [HOSTILE, "x" * 1000]]
    table = {"title": "shares", "columns": ["source", "share>"], "rows": rows, "note": "of all"}
    try:
        artefact.manifest.info["notes"] = {"bands": 18, "tables": [table]}
        (section,) = noted_tables(run)
        assert [name for name, *_ in note_rows(run) if name == "exact"] == ["exact"]
        assert "| python | 0.5 |" in to_markdown(run_report(run))
    finally:
        artefact.manifest.info["notes"] = notes
    assert section.title == "exact: shares"
    (block,) = section.blocks
    assert (block.columns, block.note) == (("source", "share>"), "of all")
    assert block.rows[0] == ("python", "0.5")
    assert max(len(cell) for row in block.rows for cell in row) == 160


def test_notes_are_flattened_and_what_is_deep_is_left_out(made):
    run, _ = made
    artefact = run.artefacts["exact"]
    notes = artefact.manifest.info["notes"]
    try:
        artefact.manifest.info["notes"] = {
            "bands": 18,
            "curve": {"1": 0.5, "2": 0.75},
            "loss": [{"epoch": n, "loss": 1 / n} for n in range(1, 21)],
            "names": [HOSTILE],
            "deep": {"a": {"b": 1}},
            "files": {"x": "abc"},
        }
        rows = {(name, key): value for name, key, value in note_rows(run)}
    finally:
        artefact.manifest.info["notes"] = notes
    assert rows["exact", ""] == "bands 18"
    assert rows["exact", "curve"] == "1: 0.5, 2: 0.75"
    assert rows["exact", "loss"].startswith("epoch 1, loss 1; epoch 2, loss 0.5; ")
    assert rows["exact", "loss"].endswith("…; epoch 20, loss 0.05")
    assert set(rows) == {("exact", key) for key in ("", "curve", "loss", "names")}


def metrics():
    def at(mean):
        return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}

    return {
        "queries": 1000,
        "passages": 2000,
        "systems": [
            {"name": "bm25", "metrics": {"nDCG@10": at(0.4)}, "settings": {"k1": 2.0}},
            {"name": "final", "metrics": {"nDCG@10": at(0.6)}},
        ],
        "differences": [
            {
                "system": "final",
                "baseline": "bm25",
                "metric": "nDCG@10",
                "difference": at(0.2),
                "ratio": None,
            }
        ],
        "examples": [{"query": "q", "found": [{"score": 0.5, "relevant": True, "text": HOSTILE}]}],
    }


def test_evaluations_show_intervals_and_differences():
    systems, differences = evaluation_blocks(metrics())
    assert isinstance(systems, Table)
    assert list(systems.rows) == [
        ("bm25 (k1 2)", "0.400 [0.300, 0.500]"),
        ("final", "0.600 [0.500, 0.700]"),
    ]
    assert isinstance(differences, Table)
    assert list(differences.rows) == [("final - bm25", "nDCG@10", "+0.200 [+0.100, +0.300]", "")]
    (search,) = search_blocks(metrics())
    assert isinstance(search, Item)
    assert search.fields[1][0] == "1. (0.500, relevant)"


def test_metrics_of_another_evaluation_are_a_table_of_their_numbers():
    (table,) = evaluation_blocks({"data": "sts", "pairs": 1379, "spearman": 0.70123, "by": {}})
    assert list(table.rows) == [("data", "sts"), ("pairs", "1,379"), ("spearman", "0.7012")]


def test_a_run_shows_itself_in_a_notebook_escaped(made):
    run, _ = made
    html = run._repr_html_()
    assert "<td>clean</td><td>filter.rules</td><td>24</td><td>23</td>" in html
    log = run.folder / "run.json"
    data = json.loads(log.read_bytes())
    try:
        log.write_text(json.dumps(data | {"stages": [data["stages"][0] | {"stage": "<script>"}]}))
        assert "&lt;script&gt;" in run._repr_html_()
        assert "<script>" not in run._repr_html_()
    finally:
        log.write_text(json.dumps(data))


def test_each_source_has_a_row_from_its_harvest_to_what_is_left(tmp_path):
    pairs = [replace(make_pair(n), source="one" if n % 3 else "two") for n in range(9)]
    pairs += [pairs[0], replace(make_pair(20, query="Sum"), source="three")]
    source = write_pairs(tmp_path / "pairs", pairs)
    recipe = Recipe.parse(
        f"""
        stages:
          read:  {{harvest.shards: {{path: "{source}"}}}}
          clean: {{filter.rules: {{max_symbol_ratio: null}}}}
          exact: {{dedup.exact: {{}}}}
        """,
        name="made",
    )
    table = source_funnel(recipe.run(tmp_path / "output", workers=1))
    assert table.rows == [
        ("one", "6", "", "6", "100%"),
        ("three", "1", "clean 1", "0", "0%"),
        ("two", "4", "exact 1", "3", "75%"),
    ]


def test_one_source_needs_no_table_of_sources(made):
    run, _ = made
    assert source_funnel(run) is None
