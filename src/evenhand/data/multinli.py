"""MultiNLI: does one sentence follow from another, and does the second hold a word of negation?"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from evenhand.data._dealing import dealt
from evenhand.data._metadata import Metadata
from evenhand.data._table import Codes, Labelled
from evenhand.data._text_set import FROM_SCRATCH, Listing, TextSet
from evenhand.errors import BadInput

LABELS = ("contradiction", "entailment", "neutral")
NEGATIONS = frozenset(("nobody", "no", "never", "nothing"))
RAW = ("multinli_1.0_train.jsonl", "multinli_1.0_dev_matched.jsonl", "multinli_1.0_dev_mismatched.jsonl")
PLACES = ("data", "", "multinli_1.0", "data/multinli_1.0")
UNLABELLED = "-"
FRACTIONS = (0.5, 0.2, 0.3)
WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class MultiNLI(TextSet):
    """Pairs of sentences: the second contradicts the first, follows from it, or neither.

    Williams, Nangia and Bowman (2018), A broad-coverage challenge corpus for sentence understanding; groups and split
    of Sagawa, Koh, Hashimoto and Liang (2020), Distributionally robust neural networks for group shifts: the attribute
    is whether `sentence2` holds one of the words nobody, no, never, nothing.

    The raw texts (`multinli_1.0_train.jsonl` and the two dev files) are looked for in `data/`, `multinli_1.0/` and the
    folder itself. Labels, attribute and split are read from `data/metadata_random.csv` of group_DRO, each of whose rows
    names a row of the three raw files one after the other. Where it is absent, the attribute is computed by the same
    rule, and the split is drawn anew. The tokens that group_DRO keeps as pickles are not read: that would run code.

    Attributes:
        split: `random` deals all pairs to train, val and test by 50, 20 and 30 %; `preset` has the matched dev file as
            val and the mismatched one as test.
        split_seed: of the dealing where there is no `metadata_random.csv`, alike in every group.
    """

    title: ClassVar[str] = "MultiNLI: does a sentence follow another, by negation"
    homepage: ClassVar[str] = "https://github.com/kohpangwei/group_DRO"
    licence: ClassVar[str] = "OANC and others, see the paper of MultiNLI"
    folder: ClassVar[str] = "multinli"
    files: ClassVar[tuple[str, ...]] = ()
    steps: ClassVar[str] = (
        "Download multinli_1.0.zip from https://cims.nyu.edu/~sbowman/multinli/\n"
        "Unpack it in ROOT/multinli/, so that there is ROOT/multinli/multinli_1.0/multinli_1.0_train.jsonl\n"
        "For the published groups and split put metadata_random.csv (see the home page) in ROOT/multinli/data/"
    )
    published: ClassVar[Mapping[str, tuple[int, ...]]] = {"train": (57498, 11158, 67376, 1521, 66630, 1992)}
    recommended: ClassVar[Mapping[str, Any]] = {**FROM_SCRATCH, "epochs": 5, "batch_size": 256}

    split: Literal["random", "preset"] = "random"
    split_seed: int = 0

    def __post_init__(self) -> None:
        if self.split_seed < 0:
            raise BadInput(f"split_seed must not be negative, got {self.split_seed}")

    def listing(self, root: Path | None) -> Listing:
        """Read the raw texts, and metadata where there are any."""
        files, folder = self.raw_files(root)
        raw = [_read_raw(file) for file in files]
        gold, first, second = ([value for each in raw for value in each[k]] for k in range(3))
        file_N = np.repeat(np.arange(len(raw)), [len(each[0]) for each in raw])
        metadata = folder / "data" / f"metadata_{self.split}.csv"
        if metadata.is_file():
            rows_N, y_N, attribute_N, parts = _read_metadata(metadata, gold)
            notes: tuple[str, ...] = ()
        else:
            rows_N = np.array([row for row, label in enumerate(gold) if label != UNLABELLED], dtype=np.int64)
            y_N = np.array([LABELS.index(gold[row]) for row in rows_N], dtype=np.int64)
            attribute_N = np.array([has_negation(second[row]) for row in rows_N], dtype=np.int64)
            parts = file_N[rows_N]
            if self.split == "random":
                parts = dealt(y_N * 2 + attribute_N, FRACTIONS, self.split_seed)
            what = "the attribute was computed" if self.split == "preset" else "the split is not the published one"
            notes = (f"There is no {metadata}: {what}.",)
        names = ("without negation", "with negation")
        return Listing(
            [first[row] for row in rows_N],
            Labelled(y_N, LABELS, attribute_N[:, None], ("sentence2",), (names,), "label"),
            parts,
            pairs=[second[row] for row in rows_N],
            source=str(folder),
            notes=notes,
        )

    def raw_files(self, root: Path | None) -> tuple[list[Path], Path]:
        """The three files of texts, and the folder of the data set; BadInput if one is not there."""
        self.locate(root)
        assert root is not None
        folder = root / self.folder
        for place in PLACES:
            files = [folder / place / name for name in RAW]
            if files[0].is_file():
                for file in files:
                    if not file.is_file():
                        raise BadInput(f"multinli needs the file {file}, which is not there; it is in multinli_1.0.zip")
                return files, folder
        raise BadInput(
            f"multinli needs {', '.join(RAW)} in {folder / PLACES[0]}: unpack multinli_1.0.zip "
            "(https://cims.nyu.edu/~sbowman/multinli) there"
        )


def has_negation(sentence: str) -> bool:
    """Whether one of the words of `NEGATIONS` is in the sentence, without regard to case and punctuation."""
    return not NEGATIONS.isdisjoint(sentence.translate(WITHOUT_PUNCTUATION).lower().split(" "))


def _read_raw(path: Path) -> tuple[list[str], list[str], list[str]]:
    """Label and the two sentences of every row.

    Raises:
        BadInput: a line is no JSON object with these keys, or has an unknown label; the message names it.
    """
    columns: tuple[list[str], list[str], list[str]] = ([], [], [])
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                entry = json.loads(line)
                found = entry["gold_label"], entry["sentence1"], entry["sentence2"]
            except (ValueError, KeyError, TypeError) as error:
                raise BadInput(
                    f"{path}, line {number}: wanted a JSON object with gold_label, sentence1 and sentence2 "
                    f"({type(error).__name__}: {error})"
                ) from error
            if found[0] not in (*LABELS, UNLABELLED):
                raise BadInput(
                    f"{path}, line {number}: gold_label must be one of {', '.join(LABELS)} or {UNLABELLED}, "
                    f"got {found[0]!r}"
                )
            for column, value in zip(columns, found, strict=True):
                column.append(str(value))
    return columns


def _read_metadata(path: Path, gold: list[str]) -> tuple[Codes, Codes, Codes, Codes]:
    """Row of the raw files, class, attribute and part of each row of group_DRO's metadata.

    Raises:
        BadInput: a row that the raw files do not have, or that has another label there; the message names the line.
    """
    table = Metadata.read(path, ("gold_label", "sentence2_has_negation", "split"))
    index = next(name for name in table.table.columns if name not in ("gold_label", "sentence2_has_negation", "split"))
    rows_N = table.codes(index, [str(row) for row in range(len(gold))])
    y_N = table.codes("gold_label", ("0", "1", "2"))
    raw_N = np.array([LABELS.index(label) if label in LABELS else -1 for label in gold], dtype=np.int64)
    if (other := np.flatnonzero(raw_N[rows_N] != y_N)).size:
        row = int(other[0])
        raise BadInput(
            f"{path}, line {row + 2}: gold_label is {LABELS[y_N[row]]}, but row {rows_N[row]} of the raw files has "
            f"{gold[rows_N[row]]}; do they belong together?"
        )
    return rows_N, y_N, table.codes("sentence2_has_negation", ("0", "1")), table.codes("split", ("0", "1", "2"))
