import io

from rich.console import Console

from curate.report.blocks import Code, Item, Lines, Report, Section, Table, show, to_markdown
from tests.report.conftest import HOSTILE

REPORT = Report(
    HOSTILE,
    [
        Section(
            HOSTILE,
            [
                Table(("what", "count>"), [(HOSTILE, "1,000")], note=HOSTILE),
                Lines([HOSTILE]),
                Code(["curate run " + "x" * 300]),
                Item(HOSTILE, [("query", f"first\n{HOSTILE}")]),
            ],
        )
    ],
)


def shown(terminal: bool) -> str:
    stream = io.StringIO()
    show(REPORT, Console(file=stream, width=200, force_terminal=terminal, color_system=None))
    return stream.getvalue()


def test_text_is_shown_as_it_is_but_cannot_command_the_terminal():
    for terminal in (True, False):
        text = shown(terminal)
        assert text.count("Open [bold]the[/bold] red window | <b>now</b> `x`") == 7
        assert not any(mark in text for mark in ("\x1b[31m", "\x1b]", "\x07", "\u202e"))


def test_commands_are_never_folded():
    assert "   curate run " + "x" * 300 + "\n" in shown(False)


def test_no_line_ends_in_spaces_where_it_is_no_terminal():
    assert not any(line.endswith(" ") for line in shown(False).splitlines())


def test_markdown_holds_one_table_row_per_row_and_indented_record_text():
    text = to_markdown(REPORT)
    escaped = "Open \\[bold\\]the\\[/bold\\] red window \\| \\<b\\>now\\</b\\> \\`x\\`"
    assert f"# {escaped}\n\n## {escaped}\n\n| what | count |\n| --- | ---: |\n" in text
    assert f"| {escaped} | 1,000 |\n\n{escaped}\n\n- {escaped}\n\n" in text
    assert "query:\n\n    first\n    Open [bold]the[/bold] red window | <b>now</b> `x`\n" in text
    assert "\x1b" not in text
