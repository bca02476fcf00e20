"""ACSIncome of folktables: does a person earn more than 50,000 dollars a year; the groups are by race or sex."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from evenhand.data._base import Data, DataSet, digest
from evenhand.data._dealing import check_dealing, dealt
from evenhand.data._table import PARTS, Codes, Floats, Labelled, in_parts, one_hot, standardised
from evenhand.errors import BadInput, unknown

if TYPE_CHECKING:
    import polars as pl

NUMERIC = ("AGEP", "SCHL", "WKHP")
CODED = ("COW", "MAR", "OCCP", "POBP", "RELP", "SEX", "RAC1P")
FILTERS = ("PINCP", "PWGTP")
NO_VALUE = -1  # what the published task writes for a blank
RACES = (
    *("White", "Black", "American Indian", "Alaska Native", "Native American, other", "Asian", "Pacific Islander"),
    *("some other race", "two or more races"),
)
MAIN_RACES, MAIN_OF = ("White", "Black", "Asian", "other"), (0, 1, 3, 3, 3, 2, 3, 3, 3)
SEXES = ("male", "female")
INCOMES = ("<=50K", ">50K")
CODES = """
AL01 AK02 AZ04 AR05 CA06 CO08 CT09 DE10 DC11 FL12 GA13 HI15 ID16 IL17 IN18 IA19 KS20 KY21 LA22 ME23 MD24 MA25 MI26 MN27
MS28 MO29 MT30 NE31 NV32 NH33 NJ34 NM35 NY36 NC37 ND38 OH39 OK40 OR41 PA42 RI44 SC45 SD46 TN47 TX48 UT49 VT50 VA51 WA53
WV54 WI55 WY56 PR72
"""
FIPS = {code[:2]: code[2:] for code in CODES.split()}


@dataclass(frozen=True)
class Folktables(DataSet):
    """The task ACSIncome on person records of the American Community Survey (PUMS).

    Ding, Hardt, Miller and Schmidt (2021), Retiring Adult: new datasets for fair machine learning. Kept are people over
    16 who worked an hour a week or more, earned over 100 dollars and have a weight. Inputs are the ten columns of the
    task: age, schooling and hours as numbers, the others one-hot over the codes in train; a blank is the code -1.

    Attributes:
        states: postal codes, such as `CA` or `CA,NY`.
        year: of the survey.
        horizon: the `1-Year` or `5-Year` sample.
        attribute: what groups are formed by beside the income.
        races: `main` joins all but White, Black and Asian to other; `all` keeps the nine codes of RAC1P.
        blind: leave sex and race out of the inputs.
        fractions: shares of train, val and test, within each income, race and sex.
        split_seed: of that dealing.
    """

    title: ClassVar[str] = "ACSIncome census (folktables): income over 50K, by race"
    homepage: ClassVar[str] = "https://github.com/socialfoundations/folktables"
    licence: ClassVar[str] = "public domain (US Census Bureau)"
    folder: ClassVar[str] = "folktables"
    other_folders: ClassVar[tuple[str, ...]] = ("acs",)
    steps: ClassVar[str] = (
        "Download csv_pca.zip (California; the letters after csv_p are the state) from "
        "https://www2.census.gov/programs-surveys/acs/data/pums/2018/1-Year/\n"
        "Unpack psam_p06.csv (the number of the state) in ROOT/folktables/2018/1-Year/"
    )
    recommended: ClassVar[Mapping[str, Any]] = {
        "encoder": "mlp",
        "epochs": 20,
        "batch_size": 512,
        "optimizer": "adam",
        "lr": 1e-3,
    }

    states: tuple[str, ...] = ("CA",)
    year: int = 2018
    horizon: Literal["1-Year", "5-Year"] = "1-Year"
    attribute: Literal["race", "sex", "race+sex"] = "race"
    races: Literal["main", "all"] = "main"
    blind: bool = False
    fractions: tuple[float, ...] = (0.6, 0.2, 0.2)
    split_seed: int = 0

    def __post_init__(self) -> None:
        check_dealing(self.fractions, self.split_seed)
        for state in self.states:
            if state not in FIPS:
                raise unknown("state", state, FIPS)
        if not self.states or len(set(self.states)) < len(self.states):
            raise BadInput(f"states must name at least one state, each once, got {','.join(self.states)!r}")

    def load(self, root: Path | None) -> Data:
        """Read the states' files, filter and deal the rows.

        Raises:
            BadInput: a file is missing or malformed; the message names line and column.
        """
        import polars as pl

        table = pl.concat([filtered(read(path), path) for path in self.locate(root)])
        values_NK = table.select(NUMERIC).to_numpy().astype(np.float64)
        y: Codes = (table["PINCP"] > 50_000).to_numpy().astype(np.int64)
        race, sex = (table[column].to_numpy().astype(np.int64) - 1 for column in ("RAC1P", "SEX"))
        part_N = dealt(np.ravel_multi_index((y, race, sex), (2, len(RACES), 2)), self.fractions, self.split_seed)
        for part, name in enumerate(PARTS):
            if not (part_N == part).any():
                raise BadInput(f"the part {name!r} of folktables has no rows: {len(table)} are left after the filters")
        coded = [column for column in CODED if not (self.blind and column in ("SEX", "RAC1P"))]
        hot = [codes_of(table[column], part_N == 0) for column in coded]
        data = in_parts(
            "folktables",
            [standardised(values_NK, part_N == 0), *(columns for columns, _ in hot)],
            self.labelled(y, race, sex),
            part_N,
            fingerprint=digest(
                table.write_csv().encode(), part_N.tobytes(), self.attribute, self.races, self.blind
            ),
            recommended=self.recommended,
            feature_names=[*NUMERIC, *(name for _, names in hot for name in names)],
        )  # fmt: skip
        return replace(data, options=self.chosen_options())

    def labelled(self, y: Codes, race: Codes, sex: Codes) -> Labelled:
        """Income as class and the chosen attributes."""
        races = RACES if self.races == "all" else MAIN_RACES
        race = race if self.races == "all" else np.array(MAIN_OF)[race]
        columns = {"race": (race, races), "sex": (sex, SEXES)}
        heads = self.attribute.split("+")
        return Labelled(
            y=y,
            classes=INCOMES,
            attributes=np.stack([columns[head][0] for head in heads], axis=1),
            attribute_names=tuple(heads),
            attribute_values=tuple(columns[head][1] for head in heads),
            label_name="income",
        )

    def locate(self, root: Path | None) -> tuple[Path, ...]:
        """The file of each state, in `<year>/<horizon>/` of the folder or in the folder itself."""
        home = self.home(root)
        letter = "psam_p" if self.year >= 2017 else f"ss{self.year % 100:02}p"
        names = [f"{letter}{FIPS[s] if self.year >= 2017 else s.lower()}.csv" for s in self.states]
        folders = (home / str(self.year) / self.horizon, home)
        found = [next((f / name for f in folders if (f / name).is_file()), None) for name in names]
        for name, path in zip(names, found, strict=True):
            if path is None:
                raise BadInput(
                    f"folktables needs the file {folders[0] / name}, which is not there; see {self.homepage}"
                )
        return tuple(path for path in found if path is not None)


def read(path: Path) -> pl.DataFrame:
    """The columns that the task uses as numbers, -1 where a field is blank, with the `line` of each row.

    Raises:
        BadInput: the file is no such table, a column is missing, or a value is no whole number.
    """
    import polars as pl

    try:
        heads = pl.read_csv(path, n_rows=0).columns
        # Later surveys renamed the relationship to the householder.
        actual = {"RELP": "RELSHIPP"} if "RELP" not in heads else {}
        wanted = {column: actual.get(column, column) for column in (*NUMERIC, *CODED, *FILTERS)}
        for column, name in wanted.items():
            if name not in heads:
                raise BadInput(f"{path} has no column {column}; is it a file of person records (PUMS)?")
        check_widths(path, len(heads))
        texts = pl.read_csv(path, columns=list(wanted.values()), infer_schema=False)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {path}: {str(error).splitlines()[0]}") from error
    texts = texts.select(pl.col(name).str.strip_chars().alias(column) for column, name in wanted.items())
    numbers = texts.with_columns(pl.all().cast(pl.Int64, strict=False))
    for column in wanted:
        strange = numbers[column].is_null() & texts[column].is_not_null() & (texts[column] != "")
        if strange.any():
            line = strange.arg_true()[0] + 2
            raise BadInput(
                f"{path}, line {line}: {column} must be a whole number, got {texts[column].filter(strange)[0]!r}"
            )
    return numbers.fill_null(NO_VALUE).with_row_index("line", offset=2)


def check_widths(path: Path, width: int) -> None:
    """Raise BadInput for the first line with another number of fields; these files quote none."""
    import polars as pl

    lines = pl.read_csv(path, has_header=False, separator="\x1f", quote_char=None, infer_schema=False).to_series()
    fields = lines.str.count_matches(",", literal=True) + 1
    if (strange := fields != width).any():
        line = strange.arg_true()[0]
        raise BadInput(f"{path}, line {line + 1}: {fields[line]} fields instead of {width}; is the file cut off?")


def filtered(table: pl.DataFrame, path: Path) -> pl.DataFrame:
    """The rows of the published task, without `line`.

    Raises:
        BadInput: none is left, or one of them has a race or sex that does not exist.
    """
    import polars as pl

    kept = table.filter(pl.col("AGEP") > 16, pl.col("PINCP") > 100, pl.col("WKHP") > 0, pl.col("PWGTP") >= 1)
    if kept.is_empty():
        raise BadInput(f"{path} has no row that passes the filters of ACSIncome")
    for column, most in (("RAC1P", len(RACES)), ("SEX", len(SEXES))):
        strange = kept.filter(~pl.col(column).is_between(1, most))
        if len(strange):
            line, value = strange["line"][0], strange[column][0]
            got = "nothing" if value == NO_VALUE else value
            raise BadInput(f"{path}, line {line}: {column} must be one of 1..{most}, got {got}")
    return kept.drop("line")


def codes_of(column: pl.Series, train_N: np.ndarray[Any, np.dtype[np.bool_]]) -> tuple[Floats, list[str]]:
    """(N, codes) one-hot over the codes that occur in train, and the name of each."""
    values = column.to_numpy()
    seen = np.unique(values[train_N])
    place_N = np.searchsorted(seen, values).clip(max=len(seen) - 1)
    codes: Codes = np.where(seen[place_N] == values, place_N, -1)
    return one_hot(codes, len(seen)), [f"{column.name}={value}" for value in seen]
