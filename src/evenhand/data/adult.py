"""UCI Adult: does a person of the 1994 US census earn more than 50,000 dollars a year; the groups are by sex."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from evenhand.data._base import Data, DataSet, Download, digest, read_text
from evenhand.data._table import Codes, Labelled, in_parts, one_hot, standardised
from evenhand.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

COLUMNS = (
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship"),
    *("race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income"),
)
NUMERIC = ("age", "education-num", "capital-gain", "capital-loss", "hours-per-week")
CATEGORIES = {
    # Without Never-worked: all who never worked have no occupation, so that no complete case is left of them.
    "workclass": (
        *("Federal-gov", "Local-gov", "Private", "Self-emp-inc", "Self-emp-not-inc", "State-gov"),
        "Without-pay",
    ),
    "occupation": (
        *("Adm-clerical", "Armed-Forces", "Craft-repair", "Exec-managerial", "Farming-fishing", "Handlers-cleaners"),
        *("Machine-op-inspct", "Other-service", "Priv-house-serv", "Prof-specialty", "Protective-serv", "Sales"),
        *("Tech-support", "Transport-moving"),
    ),
    "relationship": ("Husband", "Not-in-family", "Other-relative", "Own-child", "Unmarried", "Wife"),
}
LABELS = {"sex": ("Female", "Male"), "income": ("<=50K", ">50K")}
PUBLISHED_ROWS = {"adult.data": 32561, "adult.test": 16281}
PUBLISHED_COMPLETE = {"adult.data": 30162, "adult.test": 15060}
PUBLISHED_TEST_GROUPS = (4356, 7004, 557, 3143)
ADDRESS = "https://archive.ics.uci.edu/ml/machine-learning-databases/adult/"


@dataclass(frozen=True)
class Adult(DataSet):
    """The 32 inputs of Lu, Chai and Wang (2024, Section 5.1), income as the class and sex as the attribute.

    Complete cases only: a row with a `?` anywhere is left out. A random 75 % of the training file is train, the rest
    val (a plain permutation, not stratified, as the paper states no more than the shares); the test file is test.
    Numbers are standardised on train; sex, race and the columns not used by the paper are not among the inputs.

    Attributes:
        split_seed: seed of the permutation that divides the training file.
        any_size: read files of the same layout with other than the published numbers of rows.
    """

    title: ClassVar[str] = "Adult census: income over 50K, by sex"
    homepage: ClassVar[str] = "https://archive.ics.uci.edu/dataset/2/adult"
    licence: ClassVar[str] = "CC BY 4.0"
    folder: ClassVar[str] = "adult"
    files: ClassVar[tuple[str, ...]] = ("adult.data", "adult.test")
    # The checksums are those of the official files, which have no header line.
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(
            ADDRESS + "adult.data",
            "adult/adult.data",
            "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
        ),
        Download(
            ADDRESS + "adult.test",
            "adult/adult.test",
            "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
        ),
    )
    recommended: ClassVar[Mapping[str, Any]] = {
        "encoder": "mlp",
        "epochs": 50,
        "batch_size": 256,
        "optimizer": "adam",
        "lr": 1e-3,
    }

    split_seed: int = 0
    any_size: bool = False

    def __post_init__(self) -> None:
        if self.split_seed < 0:
            raise BadInput(f"split_seed must not be negative, got {self.split_seed}")

    def load(self, root: Path | None) -> Data:
        """Read and check both files.

        Raises:
            BadInput: a file is missing, cut off or malformed, holds an unknown category or label, or a label or sex
                never appears in the training file; the message names file and line.
        """
        import polars as pl

        paths = self.locate(root)
        files = [self._complete_cases(path) for path in paths]
        check_both_present(files[0], files[1], *paths)
        table = pl.concat(files)
        part_N = np.full(len(table), 2)
        part_N[: len(files[0])] = split_75_25(len(files[0]), self.split_seed)
        numbers_NK = table.select(NUMERIC).to_numpy()
        codes = {column: code(table[column], values) for column, values in (CATEGORIES | LABELS).items()}
        labelled = Labelled(
            y=codes["income"],
            classes=LABELS["income"],
            attributes=codes["sex"][:, None],
            attribute_names=("sex",),
            attribute_values=(LABELS["sex"],),
            label_name="income",
        )
        return in_parts(
            "adult",
            [standardised(numbers_NK, part_N == 0)]
            + [one_hot(codes[column], len(values)) for column, values in CATEGORIES.items()],
            labelled,
            part_N,
            fingerprint=digest(
                "adult", self.split_seed, numbers_NK.tobytes(), *(values.tobytes() for values in codes.values())
            ),
            recommended=self.recommended,
            feature_names=[*NUMERIC, *(f"{key}={value}" for key, values in CATEGORIES.items() for value in values)],
        )

    def check(self, root: Path | None) -> list[str]:
        """Where the files differ from the published counts, one sentence each."""
        paths = self.locate(root)
        try:
            rows = {path.name: read_rows(path) for path in paths}
            complete = {path.name: parse(rows[path.name], path) for path in paths}
            test_groups = replace(self, any_size=True).load(root).test.count_G.tolist()
        except BadInput as error:
            return [str(error)]
        found = [(f"{name} has", len(rows[name]), "rows", PUBLISHED_ROWS[name]) for name in rows]
        found += [(f"{name} has", len(complete[name]), "complete rows", PUBLISHED_COMPLETE[name]) for name in rows]
        names = [f"income={label}, sex={sex}" for label in LABELS["income"] for sex in LABELS["sex"]]
        found += [
            (f"test group {name} has", count, "rows", published)
            for name, count, published in zip(names, test_groups, PUBLISHED_TEST_GROUPS, strict=True)
        ]
        return [
            f"{what} {count} {unit}, published are {wanted}" for what, count, unit, wanted in found if count != wanted
        ]

    def _complete_cases(self, path: Path) -> pl.DataFrame:
        rows = read_rows(path)
        published = PUBLISHED_ROWS[path.name]
        complete = parse(rows, path)
        if len(rows) != published and not self.any_size:
            raise BadInput(
                f"{path} has {len(rows)} rows of data instead of the published {published}"
                + ("; it is cut off" if len(rows) < published else "")
                + " (in Python, any_size=True accepts other files of this layout)"
            )
        return complete


def read_rows(path: Path) -> pl.DataFrame:
    """The rows of the file as text in `COLUMNS`, with the `line` each came from.

    Leaves out what is no data: blank lines, the official test file's first line, and a header line.
    """
    import polars as pl

    text = pl.Series("text", read_text(path).split("\n"))
    lines = pl.DataFrame({"text": text.str.strip_chars()}).with_row_index("line", offset=1)
    header = (pl.col("line") == 1) & pl.col("text").str.starts_with("age")
    lines = lines.filter((pl.col("text") != "") & ~pl.col("text").str.starts_with("|") & ~header)
    if lines.is_empty():
        raise BadInput(f"{path} has no rows of data")
    wrong = lines.filter(pl.col("text").str.count_matches(",", literal=True) != len(COLUMNS) - 1)
    if len(wrong):
        line, row = wrong.row(0)
        cut = "; the file seems to be cut off there" if line == lines["line"][-1] else ""
        raise BadInput(f"{path}, line {line}: {row.count(',') + 1} columns instead of {len(COLUMNS)}{cut}")
    fields = pl.col("text").str.split_exact(",", len(COLUMNS) - 1).struct.rename_fields(list(COLUMNS))
    return lines.select("line", fields).unnest("text").with_columns(pl.col(COLUMNS).str.strip_chars())


def parse(rows: pl.DataFrame, path: Path) -> pl.DataFrame:
    """The complete cases, numbers as numbers, everything that is used checked."""
    import polars as pl

    rows = rows.with_columns(pl.col("income").str.strip_suffix("."))  # official test labels end in a full stop
    complete = rows.filter(~pl.any_horizontal(pl.col(COLUMNS) == "?"))
    if complete.is_empty():
        raise BadInput(f"{path} has no row without a missing value (?)")
    last = rows["line"][-1]
    for column, values in (CATEGORIES | LABELS).items():
        other = complete.filter(~pl.col(column).is_in(values))
        if len(other):
            line, value = other.row(0, named=True)["line"], other[column][0]
            cut = "; the file seems to be cut off there" if line == last and column == "income" else ""
            kind = "label" if column == "income" else column
            raise BadInput(f"{path}, line {line}: unknown {kind} {value!r}, wanted one of {', '.join(values)}{cut}")
    numbers = complete.with_columns(pl.col(NUMERIC).cast(pl.Float64, strict=False))
    for column in NUMERIC:
        bad = numbers.with_columns(text=complete[column]).filter(~pl.col(column).is_finite().fill_null(value=False))
        if len(bad):
            raise BadInput(f"{path}, line {bad['line'][0]}: {column} must be a number, got {bad['text'][0]!r}")
    return numbers


def check_both_present(train: pl.DataFrame, test: pl.DataFrame, train_path: Path, test_path: Path) -> None:
    """Raise BadInput if the training file lacks a label or a sex."""
    for column, values in LABELS.items():
        for value in values:
            if not (train[column] == value).any():
                only = f", only in {test_path}" if (test[column] == value).any() else ""
                kind = "label" if column == "income" else column
                raise BadInput(
                    f"the {kind} {value!r} never appears in {train_path}{only}; nothing can be learned of it"
                )


def split_75_25(n_rows: int, seed: int) -> Codes:
    """(N,) 0 for train and 1 for val, by a random permutation."""
    part_N = np.ones(n_rows, dtype=np.int64)
    part_N[np.random.default_rng(seed).permutation(n_rows)[: n_rows * 3 // 4]] = 0
    return part_N


def code(column: pl.Series, values: tuple[str, ...]) -> Codes:
    """(N,) position of each row's value in `values`."""
    import polars as pl

    codes: Codes = column.cast(pl.Enum(values)).to_physical().to_numpy().astype(np.int64)
    return codes
