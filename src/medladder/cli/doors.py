"""The command line's groups of verbs, to which each module adds its own."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="medladder",
    help="Which classifier can your medical images support, how sure is that, and what would more images buy?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data = typer.Typer(help="Drawn cohorts with known truth, and MedMNIST by name.", no_args_is_help=True)
app.add_typer(data, name="data")
