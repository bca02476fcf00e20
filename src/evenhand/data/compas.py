"""COMPAS: is a defendant of Broward County charged again within two years; the groups are by race or sex."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from evenhand.data._base import Data, DataSet, Download, digest
from evenhand.data._dealing import check_dealing, dealt
from evenhand.data._metadata import Metadata
from evenhand.data._table import Codes, Labelled, in_parts, one_hot, standardised
from evenhand.errors import BadInput

NUMERIC = ("age", "juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count")
RACES = ("African-American", "Asian", "Caucasian", "Hispanic", "Native American", "Other")
MAIN_RACES = ("African-American", "Caucasian", "Other")
SEXES = ("Female", "Male")
DEGREES = ("F", "M")
SCORES = ("Low", "Medium", "High")
OUTCOMES = ("no recidivism", "recidivism")
PUBLISHED_ROWS = {"rows": 7214, "rows after the filters": 6172, "of them charged again": 2809}


@dataclass(frozen=True)
class Compas(DataSet):
    """6,172 defendants scored in 2013 and 2014, with ProPublica's filters; class 1 was charged again within two years.

    Angwin, Larson, Mattu and Kirchner (2016), Machine bias, and its analysis. Left out are rows whose charge is not
    within 30 days of the score, without a case, of ordinary traffic offences, or without a score. Inputs are the age,
    the four counts of earlier offences and the degree of the charge; race, sex and the score itself are not.

    Attributes:
        attribute: what groups are formed by beside the outcome.
        races: `main` joins all but African-American and Caucasian to Other; `all` keeps the six of the file, of which
            two have 31 and 11 people.
        fractions: shares of train, val and test, within each outcome, race and sex.
        split_seed: of that dealing.
    """

    title: ClassVar[str] = "COMPAS: charged again within two years, by race"
    homepage: ClassVar[str] = "https://github.com/propublica/compas-analysis"
    licence: ClassVar[str] = "public records, compiled by ProPublica"
    folder: ClassVar[str] = "compas"
    other_folders: ClassVar[tuple[str, ...]] = ("compas-analysis",)
    files: ClassVar[tuple[str, ...]] = ("compas-scores-two-years.csv",)
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(
            "https://raw.githubusercontent.com/propublica/compas-analysis/master/compas-scores-two-years.csv",
            "compas/compas-scores-two-years.csv",
            "c451db85908b2f7fef1d83203bedf6b71ecda0d5af468d82ae62178f91d0cc7d",
        ),
    )
    recommended: ClassVar[Mapping[str, Any]] = {
        "encoder": "mlp",
        "epochs": 50,
        "batch_size": 128,
        "optimizer": "adam",
        "lr": 1e-3,
    }

    attribute: Literal["race", "sex", "race+sex"] = "race"
    races: Literal["main", "all"] = "main"
    fractions: tuple[float, ...] = (0.6, 0.2, 0.2)
    split_seed: int = 0

    def __post_init__(self) -> None:
        check_dealing(self.fractions, self.split_seed)

    def load(self, root: Path | None) -> Data:
        """Read, filter and deal the rows.

        Raises:
            BadInput: the file is missing or malformed, or holds an unknown value; the message names line and column.
        """
        (file,) = self.locate(root)
        table = filtered(read(file))
        values_NK = np.stack([table.numbers(column) for column in NUMERIC], axis=1)
        degree = table.codes("c_charge_degree", DEGREES)
        y, sex = table.codes("two_year_recid", ("0", "1")), table.codes("sex", SEXES)
        race = table.codes("race", RACES)
        part_N = dealt(np.ravel_multi_index((y, race, sex), (2, len(RACES), 2)), self.fractions, self.split_seed)
        if self.races == "main":
            race = np.array([MAIN_RACES.index(r) if r in MAIN_RACES else len(MAIN_RACES) - 1 for r in RACES])[race]
        columns = {"race": (race, MAIN_RACES if self.races == "main" else RACES), "sex": (sex, SEXES)}
        heads = self.attribute.split("+")
        labelled = Labelled(
            y=y,
            classes=OUTCOMES,
            attributes=np.stack([columns[head][0] for head in heads], axis=1),
            attribute_names=tuple(heads),
            attribute_values=tuple(columns[head][1] for head in heads),
            label_name="outcome",
        )
        for part, name in enumerate(("train", "val", "test")):
            if not (part_N == part).any():
                raise BadInput(f"the part {name!r} of {file} has no rows after the filters")
        data = in_parts(
            "compas",
            [standardised(values_NK, part_N == 0), one_hot(degree, len(DEGREES))],
            labelled,
            part_N,
            fingerprint=digest(
                values_NK.tobytes(), degree.tobytes(), y.tobytes(), labelled.attributes.tobytes(), part_N.tobytes()
            ),
            recommended=self.recommended,
            feature_names=[*NUMERIC, *(f"c_charge_degree={degree}" for degree in DEGREES)],
        )
        return replace(data, options=self.chosen_options())

    def check(self, root: Path | None) -> list[str]:
        """Where the file differs from the published counts, one sentence each."""
        (file,) = self.locate(root)
        try:
            table = read(file)
            kept = filtered(table)
            again = int(kept.codes("two_year_recid", ("0", "1")).sum())
            self.load(root)
        except BadInput as error:
            return [str(error)]
        found = zip(PUBLISHED_ROWS.items(), (len(table), len(kept), again), strict=True)
        return [f"{file} has {got} {what}, published are {wanted}" for (what, wanted), got in found if got != wanted]


def read(file: Path) -> Metadata:
    """The columns that are used, of every row."""
    wanted = ("race", "sex", *NUMERIC, "c_charge_degree", "two_year_recid")
    columns = (*wanted, "days_b_screening_arrest", "is_recid", "score_text")
    return Metadata.read(file, columns, missing=("N/A",), repeated=True)  # the official header has two names twice


def filtered(table: Metadata) -> Metadata:
    """The rows that ProPublica's analysis keeps.

    Raises:
        BadInput: none is left, or a value that a filter looks at is unknown.
    """
    days_N = table.numbers("days_b_screening_arrest", optional=True)
    has_case_N: Codes = table.codes("is_recid", ("-1", "0", "1"))
    degree_N = table.codes("c_charge_degree", (*DEGREES, "O"))
    score_N = table.codes("score_text", SCORES, optional=True)
    kept_N = (np.abs(days_N) <= 30) & (has_case_N > 0) & (degree_N < len(DEGREES)) & (score_N >= 0)
    if not kept_N.any():
        raise BadInput(f"{table.table.path} has no row that passes the filters of ProPublica's analysis")
    return table.filtered(kept_N)
