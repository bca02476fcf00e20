"""A run on the small table of one's own, and a file of the features of its encoder."""

from __future__ import annotations

from pathlib import Path

from evenhand import data, features
from evenhand.data._base import Data
from evenhand.data._feature_file import FeatureFile
from evenhand.execute import execute
from evenhand.plan import Plan
from evenhand.runs import Run
from table import write_table


def trained(folder: Path, method: str = "erm", **settings: object) -> tuple[Run, Data, Path]:
    """A finished run in `folder`, its data and the TOML file that describes them."""
    path = write_table(folder)
    chosen = data.load(str(path))
    return execute(chosen, Plan(method, settings=settings), folder / "runs"), chosen, path


def stored(folder: Path, precision: features.Precision = "float32") -> tuple[FeatureFile, Run, Data]:
    """The file `folder/people.safetensors` of the features of a run's encoder, the run and its data."""
    run, chosen, _ = trained(folder)
    model = features.load_model(run, chosen)
    facts = features.identity(model, chosen, {"run": run.folder.name}, precision)
    return features.extract(model, chosen, folder / "people.safetensors", facts, device="cpu"), run, chosen
