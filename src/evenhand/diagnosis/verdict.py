"""What the measurements say together: the cause of the gap, how sure that is, and what addresses it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Cause = Literal["nothing", "data", "representation", "classifier"]
Kind = Literal["within noise", "classifier", "label noise", "lost signal", "few rows", "minority", "overlap"]

# A group's accuracy differs by about a point between two fits of the same model to other rows of the same kind.
SMALLEST_GAP = 0.01
# Half: what closes more of the gap than it leaves is its main cause.
MOST_OF_GAP = 0.5
# Of two normal classes 3 deviations apart, wrong labels in a quarter of both give an excess of 0.09, in 15 % of one
# 0.17; 2.5 deviations apart, a quarter of both give 0.06. Without wrong labels it is 0, whatever the overlap.
DEEP = 0.05
# Below, errors are deep whatever the labels: of two normal classes of AUC 0.65, as deep as 0.41. Labels of which
# 30 % are wrong in both classes leave 0.70.
TOLD_APART = 0.65
# Of two normal classes of AUC 0.95, 88 % can be told; whatever misses more of them, the features do not.
SEPARATE = 0.95
# Of two normal classes, 0.05 less in AUC costs 4 points of accuracy from 0.75 and 6 from 0.95; less explains no gap.
LESS_SEPARATED = 0.05
# Two fits on a few thousand rows differ by some points of worst-group accuracy by chance.
RAW_GAIN = 0.05

METHODS: dict[Kind, tuple[str, ...]] = {
    "within noise": (),
    "classifier": ("dfr", "afr", "logitadjust", "rwg", "subg"),
    "label noise": (),
    "lost signal": ("groupdro", "gbmix", "ncdebias", "lisa", "rwg"),
    "few rows": ("subg", "gbmix", "lisa"),
    "minority": ("groupdro", "gbmix", "ncdebias", "lisa", "rwg"),
    "overlap": (),
}
WORDS: dict[Kind, str] = {
    "within noise": "the gap is within noise: there is nothing to diagnose",
    "classifier": "the features tell {group} well enough; the last layer does not use it",
    "label noise": "label noise or label bias is suspected in {group}",
    "lost signal": "the features lost what tells {group}: the raw inputs still have it",
    "few rows": "{group} has too few training rows: the model fits those it has seen, and not others",
    "minority": "the features separate {group} less than the same class elsewhere, and no refit helps",
    "overlap": "classes overlap in {group}, as far as linear fits can tell",
}
CAUSES: dict[Kind, Cause] = {
    "within noise": "nothing",
    "classifier": "classifier",
    "label noise": "data",
    "lost signal": "representation",
    "few rows": "data",
    "minority": "representation",
    "overlap": "data",
}
ADVICE: dict[Kind, str] = {
    "within noise": "More validation rows of the small groups would show smaller gaps.",
    "classifier": "Keep the encoder and refit the last layer with the groups balanced, or train with balanced losses.",
    "label noise": "Look at the labels of this group (the suspect rows first) and relabel; no method repairs them.",
    "lost signal": "Train the encoder so that the group counts, or one that starts from other weights.",
    "few rows": "Collect more rows of this group; until then methods that mix or subsample overfit less. "
    "Check its labels too: a model that learned wrong ones by heart looks the same.",
    "minority": "Train the encoder so that the group counts.",
    "overlap": "Collect inputs that tell these classes apart; check the labels too.",
}


@dataclass(frozen=True)
class Criterion:
    """A measured figure that is compared with a threshold.

    Attributes:
        name: which question it answers, in words.
        value: NaN where it could not be measured, which counts as below.
        low: of its 95 % interval, as `high`.
    """

    name: str
    value: float
    low: float
    high: float
    threshold: float

    @property
    def above(self) -> bool:
        """Whether the figure exceeds the threshold."""
        return self.value > self.threshold

    @property
    def decided(self) -> bool:
        """Whether the whole interval lies on one side of the threshold; what was not measured decides nothing."""
        return not self.low <= self.threshold <= self.high


@dataclass(frozen=True)
class Measured:
    """The criteria that a verdict is made of, for the worst group.

    Attributes:
        gap: accuracy of all other rows minus that of the worst group; the interval accounts for choosing it.
        recovered: share of the gap that refits close.
        depth: of errors beyond what overlap explains, see `separability.excess_depth`; of this group or of the one
            that it is mistaken for, whichever has more.
        noisy: that group.
        told_apart: AUC of telling the class of `noisy` from others, among rows with its attribute.
        separate: the same for the worst group, with the threshold above which nothing is missing in the features.
        raw_gain: worst-group accuracy of a fit on raw inputs minus that of refits on features.
        unseen: accuracy that the group loses from training to validation rows, as a share of the gap.
        less_separated: by how much the AUC of the class's best other group exceeds this group's.
    """

    gap: Criterion
    recovered: Criterion
    depth: Criterion
    noisy: int
    told_apart: Criterion
    separate: Criterion
    raw_gain: Criterion
    unseen: Criterion
    less_separated: Criterion


@dataclass(frozen=True)
class Verdict:
    """The cause, and the criteria that led to it in the order in which they were asked.

    `group` is the worst group, or for label noise the one whose labels are suspected.
    `sure` is True if each of them is decided: no interval contains its threshold.
    """

    cause: Cause
    kind: Kind
    group: int
    sentence: str
    advice: str
    methods: tuple[str, ...]
    asked: tuple[Criterion, ...]
    doubts: tuple[str, ...] = ()

    @property
    def sure(self) -> bool:
        """Whether every criterion on the way is decided."""
        return not self.doubts


def decide(found: Measured, group: int, name_of: Callable[[int], str]) -> Verdict:
    """The verdict for the worst group, by questions in a fixed order.

    1. Is there a gap at all? Otherwise there is nothing to diagnose.
    2. Do refits of the last layer close most of it? Then the classifier is at fault; likewise where that is not
       settled, but the features tell the classes apart nearly always.
    3. Does a fit on raw inputs serve the worst group better, by the same labels? Then the representation lost it.
    4. Do the classes differ in the features, and are errors deeper than overlap explains? Then labels are wrong.
    5. Is most of the gap absent from training rows? Then rows are too few.
    6. Is the same class separated better with another attribute? Then the representation; otherwise classes overlap.
    """
    asked: list[Criterion] = []

    def yes(*criteria: Criterion) -> bool:
        asked.extend(criteria)
        return all(criterion.above for criterion in criteria)

    if not found.gap.low > found.gap.threshold:
        return _verdict("within noise", group, name_of(group), (found.gap,), ())
    asked.append(found.gap)
    kind: Kind = (
        "classifier"
        if yes(found.recovered)
        else "classifier"
        if not found.recovered.decided and yes(found.separate)
        else "lost signal"
        if yes(found.raw_gain)
        else "label noise"
        if yes(found.told_apart, found.depth)
        else "few rows"
        if yes(found.unseen)
        else "minority"
        if yes(found.less_separated)
        else "overlap"
    )
    known = [criterion for criterion in asked if not math.isnan(criterion.value)]
    blamed = found.noisy if kind == "label noise" else group
    doubts = tuple(criterion.name for criterion in _settling(kind, known, found) if not criterion.decided)
    return _verdict(kind, blamed, name_of(blamed), tuple(known), doubts)


def _settling(kind: Kind, asked: list[Criterion], found: Measured) -> list[Criterion]:
    """Criteria whose other outcome would change the verdict; where one of two is clearly not met, the other cannot."""
    if kind == "label noise":
        return asked
    for missed, other in ((found.told_apart, found.depth), (found.depth, found.told_apart)):
        if not missed.above and missed.decided:
            return [criterion for criterion in asked if criterion != other]
    return asked


def _verdict(kind: Kind, group: int, name: str, asked: tuple[Criterion, ...], doubts: tuple[str, ...]) -> Verdict:
    sentence = WORDS[kind].format(group=name)
    return Verdict(CAUSES[kind], kind, group, sentence, ADVICE[kind], METHODS[kind], asked, doubts)
