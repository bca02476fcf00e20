"""`evenhand data …`: what is printed, what is written, and the exit code."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evenhand import data
from evenhand.cli import _data_pages as pages
from evenhand.cli import data as commands
from evenhand.cli import main
from evenhand.errors import BadInput

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_default_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVENHAND_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "80")


def test_list_names_every_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.list_(tmp_path / "list.json") == 0
    printed = capsys.readouterr().out
    written = json.loads((tmp_path / "list.json").read_text())["data"]
    assert [entry["name"] for entry in written] == list(data.names())
    assert all(f"  {entry['title']}" in printed for entry in written)
    assert max(map(len, printed.splitlines())) <= 80


def test_list_marks_what_is_there(write_adult: Write, capsys: pytest.CaptureFixture[str]) -> None:
    commands.list_(root=write_adult())
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert lines["adult"].endswith("  here")
    assert lines["compas"].endswith("  fetch")
    assert lines["celeba"].endswith("  by hand")
    assert lines["digits"].endswith("  built in")


def test_list_has_a_heading_for_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    commands.list_()
    blocks = [block.splitlines() for block in capsys.readouterr().out.split("\n\n")[:-1]]
    assert [block[0] for block in blocks] == ["Tables", "Images", "Texts", "Your own data, and collections"]
    shown = {line.split()[0]: head for head, *lines in blocks for line in lines}
    assert sorted(shown) == list(data.names())
    assert (shown["compas"], shown["cifar10"], shown["csv"]) == ("Tables", "Images", "Your own data, and collections")


def test_nothing_printed_ends_in_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    commands.list_()
    for name in data.names():
        if data.find(name).folder:
            commands.info(name)
    assert not [line for line in capsys.readouterr().out.splitlines() if line != line.rstrip()]


def test_list_imports_nothing_heavy() -> None:
    code = (
        "import sys; from evenhand.cli import data; data.list_(); "
        "print([m for m in ('torch', 'polars', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_info_without_files_says_how_to_get_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.info("adult", None, tmp_path / "info.json") == 0
    printed = capsys.readouterr().out
    for text in ("CC BY 4.0", "ROOT/adult/adult.test", "evenhand data fetch adult --root ROOT", "EVENHAND_DATA"):
        assert text in printed
    assert json.loads((tmp_path / "info.json").read_text())["present"] is False


class Terminal(io.StringIO):
    """A terminal of `COLUMNS` columns."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", [name for name in data.names() if data.find(name).folder])
def test_info_fits_a_terminal(name: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    with redirect_stdout(terminal):
        pages.show_facts(name, data.open_set(name), None)
    printed = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()
    long = [line for line in printed if len(line) > width]
    assert all(len(line.split()[-1]) > width - 30 for line in long)  # an address or a path is never broken
    assert sum(map(len, printed)) / len(printed) < width


def test_nothing_is_folded_where_a_program_reads(capsys: pytest.CaptureFixture[str]) -> None:
    commands.info("imagenet")
    printed = capsys.readouterr().out
    for step in data.find("imagenet").steps.splitlines():
        assert step in printed
    assert "truth" in [line.split()[0] for line in printed.splitlines() if line]


def test_info_shows_the_groups(real_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.info("adult", real_root, tmp_path / "info.json") == 0
    printed = capsys.readouterr().out
    assert "7004" in printed
    assert max(map(len, printed.partition("Rows by group")[2].splitlines())) <= 80
    written = json.loads((tmp_path / "info.json").read_text())
    assert written["rows"] == {"train": 22621, "val": 7541, "test": 15060}
    assert written["groups"][2] == {
        "group": 2,
        "values": {"income": ">50K", "sex": "Female"},
        "count": {"train": 824, "val": 288, "test": 557},
    }


def test_info_shows_options_with_values_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    commands.info("compas")
    printed = capsys.readouterr().out
    assert "races       main | all (default main)" in printed
    assert "            main joins all but African-American and Caucasian to Other" in printed
    assert "fractions   number, … (default 0.6,0.2,0.2)" in printed


@pytest.mark.parametrize("name", data.names())
def test_every_option_is_explained(name: str) -> None:
    for option in pages.options(data.find(name)):
        assert option["meaning"], f"{name}: {option['name']}"


@pytest.mark.parametrize("name", data.names())
def test_every_data_set_says_how_to_get_it(name: str) -> None:
    found = data.find(name)
    assert found.title
    assert found.licence
    assert not found.folder or found.homepage
    assert not found.folder or found.downloads or found.steps


def test_info_with_options(real_root: Path, tmp_path: Path) -> None:
    arguments = ["info", "adult", "--root", str(real_root), "--json", str(tmp_path / "info.json")]
    counted = []
    for more in ([], ["--set", "split_seed=1"], ["--set", "data.split_seed=1"], ["--set", "imbalance_ratio=4"]):
        assert CliRunner().invoke(commands.app, [*arguments, *more]).exit_code == 0
        written = json.loads((tmp_path / "info.json").read_text())
        counted.append([group["count"]["train"] for group in written["groups"]])
    assert counted[0] != counted[1] == counted[2]
    assert sum(counted[3]) < sum(counted[0])


def test_info_refuses_unknown_options() -> None:
    with pytest.raises(BadInput, match="unknown option of the data set compas 'race'; did you mean 'races'"):
        commands.info("compas", options=commands.of_data(["race=all"], None, False))


def pictures(folder: Path, n_classes: int) -> Path:
    """Class c has c + 1 training images, of which none can be decoded, and one in val and test each."""
    for c in range(n_classes):
        for part, count in (("train", c + 1), ("val", 1), ("test", 1)):
            (folder / part / f"c{c:03}").mkdir(parents=True)
            for i in range(count):
                (folder / part / f"c{c:03}" / f"{i}.jpg").write_bytes(b"")
    return folder


def test_info_of_a_folder_counts_without_decoding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pictures(tmp_path / "pets", 3)
    assert commands.info(str(folder), json=tmp_path / "info.json") == 0
    assert json.loads((tmp_path / "info.json").read_text())["rows"] == {"train": 6, "val": 3, "test": 3}
    with pytest.raises(BadInput, match=r"0\.jpg"):
        commands.info(str(folder), options=commands.of_data([], "disk", False))


def test_info_of_many_groups_shows_the_smallest_and_largest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.info(str(pictures(tmp_path / "pets", 45)), json=tmp_path / "info.json") == 0
    table = capsys.readouterr().out.partition("Rows by group")[2].splitlines()
    assert table[0] == ": the smallest and largest of 45"
    assert [row.split()[0] for row in table[3:] if row] == [
        *(f"c{c:03}" for c in range(6)), "…", *(f"c{c:03}" for c in range(39, 45)), "all"
    ]  # fmt: skip
    assert len(json.loads((tmp_path / "info.json").read_text())["groups"]) == 45


def test_info_prints_notes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pictures(tmp_path / "pets", 3)
    (folder / "train" / "c000" / "notes.txt").write_text("")
    assert commands.info(str(folder), json=tmp_path / "info.json") == 0
    note = "left out files that are no images by their name: train/c000/notes.txt."
    assert f"Note: {note}" in capsys.readouterr().out
    assert json.loads((tmp_path / "info.json").read_text())["notes"] == [note]


@pytest.mark.parametrize("name", ["csv", "images", "text"])
def test_info_of_ones_own_kind_explains_the_keys(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.info(name) == 0
    printed = capsys.readouterr().out
    keys = printed.partition("Keys of the TOML file\n")[2].partition("\n\n")[0].splitlines()
    heads = [line.split()[0] for line in keys if not line.startswith(" ")]
    assert {"path", "label", "attributes", "split", "training"} <= set(heads)
    assert name == "csv" or name in heads
    assert len(keys) == 2 * len(heads)  # each with values and a meaning
    assert "Not loaded" in printed


@pytest.mark.parametrize("name", ["torchvision", "hf", "features"])
def test_info_of_a_collection_without_a_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.info(name) == 0
    assert "Not loaded" in capsys.readouterr().out


def test_info_of_what_is_not_in_a_collection(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="did you mean 'Food101'"):
        commands.info("torchvision:Food10", tmp_path)


def test_info_of_a_collection(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.info("torchvision:FakeData", options={"arguments": "size=50,num_classes=2", "size": 8}) == 0
    assert "Rows by group" in capsys.readouterr().out


def test_check_with_options(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pets", 2)
    arguments = ["check", str(folder), "--set", "size=8"]
    assert CliRunner().invoke(commands.app, arguments).exit_code == 1
    assert CliRunner().invoke(commands.app, [*arguments, "--set", "sise=8"]).exit_code != 0


def test_info_of_ones_own_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"{i},{'ab'[i % 2]},{i // 2 % 2},[bold]\n" for i in range(40))
    (tmp_path / "t.csv").write_text("x,a,y,z\n" + rows)
    (tmp_path / "t.toml").write_text('path = "t.csv"\nlabel = "y"\nattributes = ["a"]\n[training]\nepochs = 7\n')
    assert commands.info(str(tmp_path / "t.toml"), json=tmp_path / "info.json") == 0
    assert "epochs 7" in capsys.readouterr().out
    assert json.loads((tmp_path / "info.json").read_text())["rows"] == {"train": 24, "val": 8, "test": 8}


def test_info_of_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no file"):
        commands.info(str(tmp_path / "t.toml"))


def test_check_passes_the_real_files(real_root: Path, tmp_path: Path) -> None:
    assert commands.check("adult", real_root, tmp_path / "check.json") == 0
    written = json.loads((tmp_path / "check.json").read_text())
    assert written == {"name": "adult", "ok": True, "differences": []}


def test_check_fails_other_files(write_adult: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.check("adult", write_adult(), tmp_path / "check.json") == 1
    assert "adult.data has 25 rows, published are 32561" in capsys.readouterr().out
    assert json.loads((tmp_path / "check.json").read_text())["ok"] is False


def test_check_without_root_is_bad_usage() -> None:
    with pytest.raises(BadInput, match="--root DIR"):
        commands.check("adult")


def test_fetch_of_what_is_there(write_adult: Write, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not the official file"):
        commands.fetch("adult", write_adult())


def test_fetch_without_root() -> None:
    with pytest.raises(BadInput, match="say where adult should be kept: pass --root DIR or set EVENHAND_DATA"):
        commands.fetch("adult")


def test_fetch_of_built_in_data(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="digits cannot be fetched: it needs no download"):
        commands.fetch("digits", tmp_path)


def test_fetch_of_what_must_be_got_by_hand_lists_the_steps(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"imagenet cannot be fetched: .* by hand\. \(1\) Apply .*\(2\)"):
        commands.fetch("imagenet", tmp_path)
    assert main(["data", "fetch", "imagenet"]) == 2


def test_result_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot write .*none/list\.json: there is no folder"):
        commands.list_(tmp_path / "none" / "list.json")


def test_typer_app_has_the_four_commands(tmp_path: Path) -> None:
    runner = CliRunner()
    for command in ("list", "info", "check", "fetch"):
        assert command in runner.invoke(commands.app, ["--help"]).output
        assert "--json" in runner.invoke(commands.app, [command, "--help"]).output
    assert runner.invoke(commands.app, ["list"]).exit_code == 0


def test_root_from_the_environment(write_adult: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENHAND_DATA", str(write_adult()))
    assert CliRunner().invoke(commands.app, ["check", "adult"]).exit_code == 1
