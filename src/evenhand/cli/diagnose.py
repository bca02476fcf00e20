"""`evenhand diagnose`: where the unfairness of a finished run comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evenhand.cli._arguments import Json, Root
from evenhand.cli._output import check_writable, say, write_result

if TYPE_CHECKING:
    from evenhand.runs import Run


def diagnose(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run's folder.")],
    *,
    root: Root = None,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="The file of one's own that the run was trained on.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the diagnosis as Markdown.")] = None,
    json: Json = None,
) -> int:
    """Say whether data, representation or classifier cause a run's gap between groups.

    Probes of the run's frozen features, on training and validation rows; the test rows stay sealed. Nothing is written
    into the run's folder.

    \b
    Example:
      evenhand diagnose runs/adult/erm-seed0-3f9a2c81d07b --root data
    """
    from evenhand.errors import BadInput

    check_writable(json)
    check_writable(out)
    if not (run / "config.json").is_file():
        raise BadInput(f"{run} is not a finished run: it has no config.json")
    from evenhand import diagnosis, features
    from evenhand.cli import _tables
    from evenhand.diagnosis.tables import heading, sentences
    from evenhand.files import write_atomically
    from evenhand.runs import Run

    finished = Run(run)
    chosen = features.data_of(finished, root, data)
    model = features.load_model(finished, chosen)
    found = diagnosis.diagnose(model, chosen.train, chosen.val)
    say(heading(found), style="bold")
    for line in sentences(found):
        say(line)
    test = _on_test(finished)
    say(test)
    say("")
    _tables.show(diagnosis.tables(found))
    if out is not None:
        text = f"# Diagnosis of {run.resolve().name}\n\n{diagnosis.markdown(found)}\n{test}\n"
        write_atomically(out.resolve(), text.encode())
    about = {"kind": "diagnosis", "run": str(run), "method": finished.config["method"]["name"]}
    write_result(json, {**about, **found.record()})
    return 0


def _on_test(run: Run) -> str:
    """The figures of the test rows, as the run stored them."""
    from evenhand.cli.train import number
    from evenhand.study.tables import percent

    test, worst = run.metrics["test"], run.metrics["worst_group"]
    return (
        f"On test, as the run stored it: accuracy {percent(number(test['accuracy']))} %, worst group "
        f"{percent(number(worst['value']))} % [{percent(worst['low'])}, {percent(worst['high'])}]; the diagnosis "
        "itself is from training and validation rows."
    )
