"""`discover`: from features and predictions to groups, worst first, with examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from evenhand.discovery.examples import Examples, apart, examples, excerpt
from evenhand.discovery.judging import judge
from evenhand.discovery.kinds._base import Array, Kind, Placed
from evenhand.discovery.looking import Source
from evenhand.discovery.ranking import Group, ranked
from evenhand.discovery.sheet import contact_sheet, is_pictures
from evenhand.errors import BadInput, unknown

if TYPE_CHECKING:
    import polars

FORMAT = 1
MOST_ON_SHEET = 40  # groups
Texts = Callable[[str], Sequence[str]]


@dataclass(frozen=True, eq=False)
class Discovery:
    """Groups that were found.

    Attributes:
        kind: how.
        looked_at: the split that they were found in.
        by: the split whose accuracies give their order.
        score: the name of the score of a row.
        groups: worst first.
        placed: by split, the group, distance and scores of each row.
        judgement: agreement with known attributes; None where there are none.
        n_examples: of each sort.
    """

    source: Source
    kind: Kind
    looked_at: str
    by: str
    score: str
    groups: list[Group]
    placed: Mapping[str, Placed]
    judgement: dict[str, Any] | None
    n_examples: int

    @cached_property
    def examples(self) -> list[Examples]:
        """Of each group, from the split that was looked at."""
        rows, placed = self.source.rows[self.looked_at], self.placed[self.looked_at]
        names = self.source.class_names
        return [examples(rows, placed, self.score, group, names, n=self.n_examples) for group in self.groups]

    @cached_property
    def apart(self) -> list[list[dict[str, Any]]]:
        """Of each group the features that set it apart from the rest of its class; empty unless inputs are a table."""
        split = self.source.inputs.get(self.looked_at)
        if split is None or not self.source.feature_names:
            return [[] for _ in self.groups]
        rows, cluster_N = self.source.rows[self.looked_at], self.placed[self.looked_at].cluster
        x_NF = split.inputs.take(torch.arange(len(split))).cpu().numpy()
        return [apart(x_NF, rows, cluster_N, group, self.source.feature_names) for group in self.groups]

    def excerpts(self, texts: Texts | None) -> list[dict[str, list[str]]]:
        """Of each group the beginnings of its examples' texts; empty unless inputs are texts."""
        if texts is None or self.looked_at not in self.source.inputs:
            return [{} for _ in self.groups]
        own = texts(self.looked_at)
        return [
            {sort: [excerpt(own[each.row]) for each in shown] for sort, shown in vars(of_group).items()}
            for of_group in self.examples
        ]

    def table(self) -> polars.DataFrame:
        """One row for each row of the splits: what `train --groups-from` and `audit` read.

        `split`, `row`, `group` (null where there is none), `y`, `prediction` and `logit_k` where there is a model,
        `attribute_NAME` where known (null where not), and every score as `score_NAME`.
        """
        import polars as pl

        names = pl.Series("group", [group.name for group in sorted(self.groups, key=lambda group: group.cluster)])
        return pl.concat([self._part(split, names) for split in self.source.rows])

    def _part(self, split: str, names: polars.Series) -> polars.DataFrame:
        import polars as pl

        rows, placed = self.source.rows[split], self.placed[split]
        cluster = pl.Series(placed.cluster)
        columns: dict[str, Any] = {
            "split": pl.repeat(split, len(rows), eager=True),
            "row": np.arange(len(rows)),
            "group": names.gather(cluster.set(cluster < 0, None)),
            "y": rows.y,
        }
        if rows.logits is not None:
            columns["prediction"] = rows.prediction
            columns |= {f"logit_{c}": logit_N for c, logit_N in enumerate(np.ascontiguousarray(rows.logits.T))}
        if self.source.truth is not None:
            attributes_NK = self.source.truth.attributes[split]
            for k, each in enumerate(self.source.labels["attributes"]):
                code = pl.Series(np.ascontiguousarray(attributes_NK[:, k]))
                columns[f"attribute_{each['name']}"] = code.set(code < 0, None)
        columns |= {f"score_{name}": values_N for name, values_N in placed.scores.items()}
        return pl.DataFrame(columns)

    def sheet(self) -> bytes | None:
        """The contact sheet of the worst groups as PNG; None unless inputs are pictures."""
        split = self.source.inputs.get(self.looked_at)
        if split is None or not is_pictures(split):
            return None
        shown = [(self._beside(group), each) for group, each in zip(self.groups, self.examples, strict=True)]
        return contact_sheet(split, shown[:MOST_ON_SHEET], self.n_examples)

    def _beside(self, group: Group) -> list[str]:
        own = group.figures[self.by]
        lines = [group.name, f"{group.figures[self.looked_at].count} rows of {self.looked_at}"]
        if not isnan(own.accuracy):
            lines.append(f"accuracy on {self.by} {100 * own.accuracy:.1f} %")
            lines.append(f"[{100 * own.low:.1f}, {100 * own.high:.1f}], loss {own.loss:.3g}")
        return lines

    def as_dict(self, texts: Texts | None = None) -> dict[str, Any]:
        """The record, for JSON."""
        groups = zip(self.groups, self.examples, self.apart, self.excerpts(texts), strict=True)
        return {
            "format": FORMAT,
            **self.source.about,
            "kind": type(self.kind).__module__.rpartition(".")[2],
            "options": asdict(self.kind),
            "looked_at": self.looked_at,
            "ranked_by": self.by,
            "score": self.score,
            "labels": dict(self.source.labels) if self.source.truth else {**self.source.labels, "attributes": []},
            "groups": [
                {
                    **{key: value for key, value in asdict(group).items() if key != "cluster"},
                    "examples": asdict(shown),
                    **({"apart": named} if self.source.feature_names else {}),
                    **({"excerpts": quoted} if quoted else {}),
                }
                for group, shown, named, quoted in groups
            ],
            **({} if self.judgement is None else {"known_attributes": self._judged()}),
        }

    def _judged(self) -> dict[str, Any]:
        """The judgement with the names of groups in the place of their indices."""
        assert self.judgement is not None
        names = {group.cluster: group.name for group in self.groups}
        splits = {
            split: {**own, "best_match": {"group": names.get(own["best_match"]["cluster"]), **own["best_match"]}}
            for split, own in self.judgement["splits"].items()
        }
        for own in splits.values():
            del own["best_match"]["cluster"]
        return {**self.judgement, "splits": splits}


def discover(
    source: Source, kind: Kind, *, look_at: str = "train", score: str | None = None, n_examples: int = 5
) -> Discovery:
    """Find groups in one split, put the rows of all splits into them, and rank them.

    They are ranked on a split that the model was not trained on, where there is one: on training rows that it knows by
    heart all groups look well served.

    Args:
        look_at: the split to find groups in.
        score: of a row, by which the most critical examples are shown; default: the kind's own.
        n_examples: typical and critical rows to show of each group.

    Raises:
        BadInput: no such split or score, options of the kind that do not fit, or predictions are needed and there are
            none.
    """
    if look_at not in source.rows:
        raise unknown("split to look at", look_at, source.rows)
    if n_examples < 1:
        raise BadInput(f"examples must be at least 1, got {n_examples}")
    if kind.needs_predictions:
        _ = source.rows[look_at].predicted
    by = source.held_out or look_at
    fitted = kind.fit(source.rows[look_at])
    placed = {split: fitted.place(rows) for split, rows in source.rows.items()}
    known = placed[look_at].scores
    if score is not None and score not in known:
        raise unknown("score", score, known)
    chosen = score or next(name for name in kind.best_scores if name in known)
    clusters: dict[str, Array] = {split: each.cluster for split, each in placed.items()}
    own = {split: each.scores[chosen] for split, each in placed.items()}
    groups = ranked(fitted.names, source.class_names, source.rows, clusters, own, by=by)
    judgement = judge(source, clusters, {split: each.scores for split, each in placed.items()}, by)
    return Discovery(source, kind, look_at, by, chosen, groups, placed, judgement, n_examples)
