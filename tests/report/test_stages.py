import pytest

from curate.registry import registry
from curate.report.blocks import Table
from curate.report.stages import describe_stage, list_stages


def settings(name):
    section = describe_stage(registry()[name]).sections[-1]
    (table,) = section.blocks
    assert isinstance(table, Table)
    return {row[0]: row[1:] for row in table.rows}


@pytest.mark.parametrize("name", registry())
def test_every_setting_of_every_stage_has_a_type_and_a_meaning(name):
    for setting, (kind, default, meaning) in settings(name).items():
        assert kind, setting
        assert default, setting
        assert meaning, f"{name}.{setting} has no docstring"


def test_every_stage_is_listed():
    (section,) = list_stages(registry()).sections
    (table,) = section.blocks
    assert [row[0] for row in table.rows] == list(registry())


def test_types_read_as_their_user_would_say_them():
    assert settings("filter.consistency")["k"][:2] == ("whole number >= 1 | auto", "2")
    assert settings("filter.consistency")["seed"][:2] == ("whole number >= 0", "0")
    assert settings("filter.consistency")["encoder"][:2] == (
        "stage that gives model or a folder, or several",
        "required",
    )
    assert settings("split")["same_query"][0] == "drop | keep"
    assert settings("train.contrastive")["tokenizer.code"][:2] == ("true or false", "true")
    assert "from" not in settings("harvest.python")
