"""Write docs/cli.md by running the help of every command: ``python docs/make_cli_page.py``."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from isonomy.cli.app import app

COMMANDS = ("demo", "audit", "steer", "report")
WIDTH = 88

HEAD = """# The command line

`isonomy` (also `python -m isonomy`) needs the extra `cli`, and its HTML reports the extra
`report`: `pip install 'isonomy[cli,report]'`.

Results go to stdout, progress, warnings and errors to stderr; `--json` prints the whole
result as JSON. A CSV or TSV may be gzipped; Parquet works alike. Empty cells, `NA`, `N/A`,
`NaN`, `NULL` and `<NA>` count as missing in labels, groups and features; all other columns
come out as the text that went in, in UTF-8.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | a `--fail-if` criterion holds, or what it names is undefined |
| 2 | wrong use, or data that cannot be used: one line on stderr says why |
| 130 | interrupted; nothing was left half-written |
| 141 | the reader of stdout went away |

`--fail-if` takes the name of a disparity, one of `>` `>=` `<` `<=`, and a number. It
compares the plug-in value; `rms_tpr_gap.corrected`, `.low`, `.high` and `.p_value` compare
the other columns: `--fail-if 'rms_tpr_gap_precision.high>0.05'` fails unless the gap is
shown to be small.

<!-- Made by `python docs/make_cli_page.py`; a test fails when this page is stale. -->
"""


def make_page() -> str:
    """Return the page: the head, then the help of the program and of each command."""
    runner = CliRunner()
    parts = [HEAD]
    for name in ("", *COMMANDS):
        arguments = [name, "--help"] if name else ["--help"]
        shown = runner.invoke(app, arguments, prog_name="isonomy", terminal_width=WIDTH)
        text = "\n".join(line.rstrip() for line in shown.stdout.strip().splitlines())
        parts.append(f"## isonomy {name}".rstrip() + f"\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(make_page(), encoding="utf-8")
