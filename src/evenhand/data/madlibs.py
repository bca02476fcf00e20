"""Madlibs: sentences made of templates in which a group of people is named, and real comments; toxic or not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from evenhand.data._dealing import dealt, group_of
from evenhand.data._metadata import Metadata
from evenhand.data._table import Codes, Labelled
from evenhand.data._text_set import FROM_SCRATCH, Listing, TextSet
from evenhand.errors import BadInput

KINDS: Mapping[str, tuple[str, ...]] = {
    "age": ("elderly", "middle aged", "millenial", "old", "older", "teenage", "young", "younger"),
    "disability": ("blind", "deaf", "paralyzed"),
    "ethnicity": (
        "african american", "african", "american", "asian", "black", "canadian", "chinese", "european", "hispanic",
        "indian", "japanese", "latina", "latino", "latinx", "mexican", "middle eastern", "white",
    ),
    "gender": ("cis", "female", "male", "nonbinary", "trans", "transgender"),
    "religion": ("buddhist", "catholic", "christian", "jewish", "muslim", "protestant", "sikh", "taoist"),
    "sexuality": (
        "bisexual", "gay", "heterosexual", "homosexual", "lesbian", "lgbt", "lgbtq", "queer", "straight",
    ),
}  # fmt: skip
KIND_OF = {term: kind for kind, terms in KINDS.items() for term in terms}
TERMS = re.compile(rf"\b(?:{'|'.join(sorted(KIND_OF, key=len, reverse=True))})\b")
NONE = "none"
FRACTIONS = (0.6, 0.2, 0.2)


@dataclass(frozen=True)
class _Version:
    """One of the published files: its name, its columns of texts and labels, and its labels."""

    stem: str
    text: str
    label: str
    labels: tuple[str, str]  # not toxic, toxic


VERSIONS = {
    "77k": _Version("bias_madlibs_77k", "Text", "Label", ("NOT_BAD", "BAD")),
    "intersectional": _Version("intersectional_madlibs", "phrase", "toxicity", ("nontoxic", "toxic")),
    "comments": _Version("toxicity_nonfuzzed_testset", "comment", "toxic", ("False", "True")),
}


@dataclass(frozen=True)
class Madlibs(TextSet):
    """Short sentences from templates that praise, describe or insult people of a named group.

    Dixon, Li, Sorensen, Thain and Vasserman (2018), Measuring and mitigating unintended bias in text classification.
    Every group is named in as many toxic sentences as others, so any difference between groups is the model's. As all
    sentences are made of the same few words, those of test are easy for whatever was trained on the others.

    Attributes:
        version: the file: `77k` names at most one group in a sentence, `intersectional` up to two; `comments` are 1492
            real ones from the discussion pages of Wikipedia, where some groups are named mostly in insults.
        attribute: what the groups are: the `kind` of group that is named (two kinds are a value of their own), the
            `term` itself (of the version 77k only), whether a group is named at all (`mention`), or whether one of this
            kind is: `age`, `disability`, `ethnicity`, `gender`, `religion`, `sexuality`. Of comments one of the latter.
        split_seed: deals the sentences to train, val and test (60, 20 and 20 % of every label and term, of comments of
            every group).
    """

    title: ClassVar[str] = "Sentences, toxic or not, that name groups of people"
    homepage: ClassVar[str] = "https://github.com/conversationai/unintended-ml-bias-analysis"
    licence: ClassVar[str] = "Apache-2.0"
    folder: ClassVar[str] = "madlibs"
    files: ClassVar[tuple[str, ...]] = ("bias_madlibs_77k.csv.gz",)
    steps: ClassVar[str] = (
        "Download unintended_ml_bias/eval_datasets/bias_madlibs_77k.zip from the home page's repository\n"
        "Put its bias_madlibs_77k.csv in ROOT/madlibs/, packed with gzip or not"
    )
    recommended: ClassVar[Mapping[str, Any]] = {**FROM_SCRATCH, "epochs": 5}
    published: ClassVar[Mapping[str, tuple[int, ...]]] = {
        "all": 2 * (432, 6056, 2271, 12869, 3785, 6056, 6813),
    }

    version: Literal["77k", "intersectional", "comments"] = "77k"
    attribute: Literal[
        "kind", "term", "mention", "age", "disability", "ethnicity", "gender", "religion", "sexuality"
    ] = "kind"
    split_seed: int = 0

    def __post_init__(self) -> None:
        if self.split_seed < 0:
            raise BadInput(f"split_seed must not be negative, got {self.split_seed}")
        if self.attribute == "term" and self.version != "77k":
            raise BadInput("attribute=term needs version=77k: sentences of the other versions name several groups")
        if self.attribute == "kind" and self.version == "comments":
            raise BadInput(
                "version=comments has too few comments of every kind of group: choose attribute=mention, or a kind, "
                "such as attribute=sexuality"
            )

    def locate(self, root: Path | None) -> tuple[Path, ...]:
        """The file of the version, compressed or not; BadInput if it is not there."""
        stem = VERSIONS[self.version].stem
        names = (f"{stem}.csv.gz", f"{stem}.csv")
        if root is not None:
            for file in (root / self.folder / name for name in names):
                if file.is_file():
                    return (file,)
            if (folder := root / self.folder).is_dir():
                raise BadInput(f"madlibs needs the file {folder / names[0]}, which is not there; see {self.homepage}")
        return super().locate(root)

    def listing(self, root: Path | None) -> Listing:
        """Read sentences and labels, and find the groups that are named in the sentences."""
        version = VERSIONS[self.version]
        (file,) = self.locate(root)
        table = Metadata.read(file, (version.text, version.label), separator=",")
        texts = [text or "" for text in table.texts(version.text)]
        y = table.codes(version.label, version.labels)
        named = [TERMS.findall(text.lower()) for text in texts]
        values, attribute_N = _codes([self.value(each) for each in named])
        labelled = Labelled(y, ("fine", "toxic"), attribute_N[:, None], (self.attribute,), (values,), "label")
        dealt_alike = group_of(labelled)
        if self.version != "comments":
            terms, term_N = _codes([" and ".join(each) for each in named])
            dealt_alike = y * len(terms) + term_N
        return Listing(texts, labelled, dealt(dealt_alike, FRACTIONS, self.split_seed), source=str(file))

    def value(self, terms: list[str]) -> str:
        """The attribute of a sentence that names these groups."""
        kinds = sorted({KIND_OF[term] for term in terms})
        if self.attribute == "kind":
            return "+".join(kinds) or NONE
        if self.attribute == "term":
            return " and ".join(terms) or NONE
        named = bool(kinds) if self.attribute == "mention" else self.attribute in kinds
        return "named" if named else NONE


def _codes(values: list[str]) -> tuple[tuple[str, ...], Codes]:
    """The different values, `none` first, and the position of each."""
    names = sorted(set(values), key=lambda value: (value != NONE, value))
    position = {name: code for code, name in enumerate(names)}
    return tuple(names), np.array([position[value] for value in values], dtype=np.int64)
