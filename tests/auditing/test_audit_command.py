"""`evenhand audit`: what is printed, what is written, and the exit code."""

import json
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest

from evenhand.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("audit")
    rng = np.random.default_rng(0)
    y, sex = rng.integers(0, 2, 800), rng.choice(["F", "M"], 800)
    right = rng.random(800) < np.where(sex == "F", 0.7, 0.9)
    table = pl.DataFrame({"y": y, "p": np.where(right, y, 1 - y), "sex": sex, "age": rng.integers(18, 80, 800)})
    table.with_columns(s=0.1 + 0.8 * pl.col("p")).write_csv(path / "t.csv")
    return path


@pytest.fixture
def run(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)

    def ran(*options):
        code = main(["audit", "t.csv", "--label", "y", "--prediction", "p", *options])
        out, err = capsys.readouterr()
        return code, out, err

    return ran


def test_the_table_has_the_worst_group_first(run):
    code, out, err = run("--group", "sex")
    assert (code, err) == (0, "")
    assert out.index("\nF ") < out.index("\nM ") < out.index("\nall rows")
    assert "positive is 1, the last class in order; choose with --positive" in out
    assert "worst group accuracy" in out
    assert "sex=F" in out


def test_every_file_is_written(run, folder):
    files = {kind: folder / f"out.{kind}" for kind in ("json", "csv", "markdown", "html", "junit")}
    options = [word for kind, path in files.items() for word in (f"--{kind}", str(path))]
    code, _, err = run("--group", "sex", "--group", "age:0,40", "--fail-if", "accuracy < 0.5", *options)
    assert (code, err) == (0, "")
    written = json.loads(files["json"].read_text())
    assert written["groups"][0]["group"]["sex"] == "F"
    assert written["gate"][0]["failed"] is False
    assert pl.read_csv(files["csv"]).height == len(written["groups"])
    assert files["markdown"].read_text().startswith("## Audit of t.csv")
    assert files["html"].read_text().startswith("<!DOCTYPE html>")
    assert '<meta charset="utf-8">' in files["html"].read_text()
    assert ElementTree.fromstring(files["junit"].read_text().partition("?>")[2]).get("failures") == "0"


def test_the_gate_fails_a_build_with_the_reason(run):
    code, out, _ = run("--group", "sex", "--fail-if", "worst_group_accuracy < 0.8", "--fail-if", "accuracy < 10%")
    assert code == 1
    assert "✗ failed: worst_group_accuracy < 0.8: worst_group_accuracy is 0." in out
    assert "✓ passed: accuracy < 10%" in out
    code, out, _ = run("--group", "sex", "--fail-if", "worst_group_accuracy < 0.72", "--confident")
    assert (code, "passed" in out) == (0, True)
    code, out, _ = run("--group", "sex", "--fail-if", "accuracy[sex=F] < 0.8")
    assert code == 1


def test_marginal_groups_can_be_judged(run):
    options = ("--group", "sex", "--group", "age:0,40", "--fail-if")
    assert run(*options, "accuracy[sex=F] < 0.8")[0] == 1
    assert run(*options, "accuracy[sex=M, age=0 to <40] < 0.5")[0] == 0


def test_a_summary_is_appended_to_the_job(run, folder, monkeypatch):
    summary = folder / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert run("--group", "sex", "--fail-if", "accuracy < 0.5", "--github-summary")[0] == 0
    text = summary.read_text()
    assert text.startswith("before\n### Audit: 0 of 1 conditions failed")
    assert "### By sex" in text
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert "## Audit of t.csv" in run("--group", "sex", "--github-summary")[1]


def test_scores_weights_and_clusters(run):
    code, out, _ = run("--group", "sex", "--score", "s", "--weight", "age", "--id", "age", "--replicates", "20")
    assert code == 0
    assert "AUC" in out
    assert "clusters of age" in out


def test_another_model_is_compared(run):
    code, out, _ = run("--group", "sex", "--against", "t.csv")
    assert code == 0
    assert "Against t.csv" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--group", "gender"), "unknown column of t.csv 'gender'"),
        ((), "name at least one group column"),
        (("--group", "sex", "--fail-if", "accuracy = 1"), "cannot read the condition"),
        (("--group", "sex", "--fail-if", "worst_group_acuracy < 1"), "did you mean 'worst_group_accuracy'?"),
        (("--group", "sex", "--json", "/no/such/folder/x.json"), "there is no folder"),
        (("--group", "sex", "--positive", "7"), "positive must be one of the classes 0, 1"),
    ],
)
def test_bad_usage_is_one_paragraph_and_exit_code_2(run, options, message):
    code, _, err = run(*options)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_an_unknown_choice_is_bad_usage(run):
    assert run("--group", "sex", "--missing", "ignore")[0] == 2


def test_the_command_needs_no_torch(folder):
    code = (
        "import sys; from evenhand.cli import main; "
        "code = main(['audit', 't.csv', '--label', 'y', '--prediction', 'p', '--group', 'sex']); "
        "assert not {'torch', 'sklearn', 'scipy', 'pandas'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--junit", "j.xml"], "--junit is about what --fail-if decides"),
        (["--confident"], "--confident is about what --fail-if decides"),
        (["--search-without", "age"], "--search-without is about --search"),
    ],
)
def test_options_that_do_nothing_alone_are_refused(run, folder, options, message):
    code, out, err = run("--group", "sex", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert not (folder / "j.xml").exists()
