"""Deliberate changes to the training rows of any data set, for studies of what they do: options of every data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from evenhand.data import _label_bias as bias
from evenhand.data._attribute_label import predicting
from evenhand.data._base import Data, digest
from evenhand.data._label_bias import Mode, Named
from evenhand.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

    from evenhand.batch import Split


@dataclass(frozen=True)
class Changes:
    """What is done to a data set after it is read. The test rows are never touched, but for `predict_attribute`.

    Labels come first, then inputs, then which rows are left out, then which attributes are hidden. Classes are named by
    number or name. Groups are those of an attribute: its values by number or name, separated by commas; of several
    attributes the number is that of the combination, and a name, such as `sex=female`, takes all rows that have it.

    Attributes:
        flip: share of the training and of the validation rows of the class `flip_from` in the groups `flip_group` whose
            label becomes `flip_to`, in [0, 1]; the group of such a row is that of the label it then has, which is all
            that a method and selection see. Jones, Roschewitz and Glocker (2023); Mouheb et al. (2024), Section 4.1.
        flip_from: the class that is under-diagnosed.
        flip_to: the class that its rows are said to be of.
        flip_group: the groups in which they are.
        flip_mode: `bernoulli`, each row on its own with probability `flip` (or `label_noise`), or `exact`, that share
            of the rows, rounded.
        label_noise: share of the training and of the validation rows of the groups `noise_group` with a label drawn
            from all other classes alike, in [0, 1].
        noise_group: empty for all rows.
        undersample: share of the training rows of the groups `undersample_group` that is kept, of each class alike, at
            least one of each; in (0, 1].
        undersample_group: the groups in which rows are left out.
        feature_noise: standard deviation of normal noise on the training and validation inputs of the groups
            `feature_noise_group`: of standardised columns of a table, and of images from -1 (black) to 1 (white). It is
            drawn once, so that a row is the same in every epoch.
        feature_noise_group: the groups whose inputs are noisy.
        imbalance_ratio: at least 1: training rows are left out until each class has so many rows with the attribute
            that goes with it for each row with another: 8 makes 1:8. None changes nothing. Hong et al. (2024), GBMix,
            Section IV.
        drop_minority: every training row is left out that does not have the attribute that goes with its class, so that
            the minority groups never occur in training. Capitani et al. (2024), ClusterFix, Figure 3a.
        known_train: share of the training rows whose attributes stay known, in [0, 1], drawn within each group (at
            least one row of each while it is above 0); the others belong to no known group.
        known_val: the same of validation.
        predict_attribute: the attribute, by number or name, that takes the place of the label in all parts, test too:
            to see how well it can be told from the inputs. Rows of which it is not known are left out.
        change_seed: of every draw: which labels are changed, which rows are left out, which attributes are hidden. It
            is of the data and does not follow the seed of a run, so that all runs of a study see the same labels.
    """

    imbalance_ratio: float | None = None
    drop_minority: bool = False
    known_train: float = 1.0
    known_val: float = 1.0
    change_seed: int = 0
    # Not shown: the hash of data that the changes above were made to begins with this object's text.
    flip: float = field(default=0.0, repr=False)
    flip_from: int | str = field(default=1, repr=False)
    flip_to: int | str = field(default=0, repr=False)
    flip_group: Named = field(default=1, repr=False)
    flip_mode: Mode = field(default="bernoulli", repr=False)
    label_noise: float = field(default=0.0, repr=False)
    noise_group: Named = field(default=(), repr=False)
    undersample: float = field(default=1.0, repr=False)
    undersample_group: Named = field(default=1, repr=False)
    feature_noise: float = field(default=0.0, repr=False)
    feature_noise_group: Named = field(default=1, repr=False)
    predict_attribute: int | str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.imbalance_ratio is not None and self.imbalance_ratio < 1:
            raise BadInput(f"imbalance_ratio must be at least 1, got {self.imbalance_ratio}")
        for name in ("known_train", "known_val", "flip", "label_noise", "undersample"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if self.undersample == 0:
            raise BadInput("undersample must be above 0; a group without any row cannot be learned")
        if self.feature_noise < 0:
            raise BadInput(f"feature_noise must not be negative, got {self.feature_noise}")
        if self.change_seed < 0:
            raise BadInput(f"change_seed must not be negative, got {self.change_seed}")

    def applied(self, data: Data, given: Mapping[str, Any]) -> Data:
        """The data so changed; `given` are the options that were named, which become part of their description.

        Raises:
            BadInput: a change does not fit the data.
        """
        if all(getattr(self, name) == default for name, default in ACTING.items()):
            return data
        notes: list[str] = []
        train, val = (
            self._relabelled(split, part, notes) for part, split in (("train", data.train), ("val", data.val))
        )
        if self.feature_noise:
            train, val = (
                bias.noisy_features(
                    split, self.feature_noise, among=self.feature_noise_group,
                    seed=bias.number_of(self.change_seed, "inputs", part),
                )
                for part, split in (("train", train), ("val", val))
            )  # fmt: skip
        train, said = self._fewer(train), self._biased()
        train = partly_known(train, self.known_train, self.change_seed)
        val, test = partly_known(val, self.known_val, self.change_seed), data.test
        if (attribute := self.predict_attribute) is not None:
            train, val, test = predicting(train, attribute), predicting(val, attribute), test.predicting(attribute)
        return replace(
            data,
            train=train,
            val=val,
            test=test,
            fingerprint=digest(data.fingerprint, self, *([said] if said else [])),
            options={**data.options, **given},
            notes=(*data.notes, *notes),
        )

    def _relabelled(self, split: Split, part: str, notes: list[str]) -> Split:
        """The split with the labels that it is to have; what was changed is added to the notes."""
        if self.flip:
            rng = bias.generator_of(self.change_seed, "flip", part)
            found = bias.flipped(
                split, self.flip, of=self.flip_from, to=self.flip_to, among=self.flip_group, mode=self.flip_mode,
                rng=rng,
            )  # fmt: skip
            before, after = (bias.said(split, each) for each in (self.flip_from, self.flip_to))
            notes.append(
                f"wrong on purpose in {part}: {found.count} of {found.eligible} labels {before} of "
                f"{bias.groups_said(split, self.flip_group)} became {after}"
            )
            split = found.split
        if self.label_noise:
            rng = bias.generator_of(self.change_seed, "noise", part)
            found = bias.noisy_labels(
                split, self.label_noise, among=self.noise_group, mode=self.flip_mode, rng=rng
            )  # fmt: skip
            notes.append(
                f"wrong on purpose in {part}: {found.count} of {found.eligible} labels of "
                f"{bias.groups_said(split, self.noise_group)} became another class"
            )
            split = found.split
        return split

    def _fewer(self, train: Split) -> Split:
        """The training rows that stay."""
        if self.undersample < 1:
            rng = bias.generator_of(self.change_seed, "undersample")
            train = bias.undersampled(train, self.undersample, among=self.undersample_group, rng=rng)
        if self.imbalance_ratio is not None:
            train = imbalanced(train, self.imbalance_ratio, self.change_seed)
        return without_minority(train) if self.drop_minority else train

    def _biased(self) -> dict[str, Any]:
        """What the text of the object does not show and is not at its default."""
        hidden = (each for each in fields(self) if not each.repr)
        return {each.name: value for each in hidden if (value := getattr(self, each.name)) != each.default}


CHANGES = tuple(each.name for each in fields(Changes))
ACTS = ("imbalance_ratio", "drop_minority", "known_train", "known_val", "flip", "label_noise", "undersample")
ACTING = {
    each.name: each.default for each in fields(Changes) if each.name in (*ACTS, "feature_noise", "predict_attribute")
}


def imbalanced(split: Split, ratio: float, seed: int) -> Split:
    """The split with rows left out at random, so that attributes go with classes, `ratio` to 1.

    Each class is paired with an attribute value of its own (with more classes than values, some share one), so that the
    pairs have most rows. Of a pair the share t of its rows is kept, of every other group of the class 1 / ratio of
    that; t is the largest for which there are enough rows, so that the pairs keep their proportions.

    Raises:
        BadInput: fewer than two attribute values, or a group without rows.
    """
    import torch

    from evenhand import sampling

    if not split.has_attributes or split.n_attributes < 2:
        raise BadInput("imbalance_ratio needs an attribute with at least two values")
    count_CA = split.count_G.view(split.n_classes, split.n_attributes).cpu()
    if int(count_CA.min()) == 0:
        empty = split.group_name(int(count_CA.flatten().argmin()))
        raise BadInput(f"imbalance_ratio needs training rows of every group; there are none of {empty}")
    pair_C = paired(count_CA)
    major_C1 = count_CA.gather(1, pair_C[:, None]).double()
    room_CA = (ratio * count_CA / major_C1).scatter(1, pair_C[:, None], torch.inf)
    share = min(1.0, float(room_CA.min()))
    kept_CA = (share * major_C1 / ratio).expand(count_CA.shape).scatter(1, pair_C[:, None], share * major_C1)
    rng = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(split), generator=rng)
    rank = sampling.rank_within_label(split.group.cpu()[order])
    wanted_G = kept_CA.round().long().clamp(min=1).flatten()
    return split.subset(order[rank < wanted_G[split.group.cpu()[order]]].sort().values)


def without_minority(split: Split) -> Split:
    """The rows whose attribute is the one that goes with their class (see `imbalanced`).

    Raises:
        BadInput: fewer than two attribute values.
    """
    import torch

    if not split.has_attributes or split.n_attributes < 2:
        raise BadInput("drop_minority needs an attribute with at least two values")
    pair_C = paired(split.count_G.view(split.n_classes, split.n_attributes).cpu())
    return split.subset(torch.nonzero(split.attribute.cpu() == pair_C[split.y.cpu()]).flatten())


def partly_known(split: Split, share: float, seed: int) -> Split:
    """The split with the attributes hidden of all but a `share` of the rows of each group.

    Raises:
        BadInput: there are no attributes to hide.
    """
    import torch

    from evenhand import sampling

    if share == 1:
        return split
    if split.attributes is None:
        raise BadInput("known_train and known_val need attributes that could be hidden")
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    group_N = split.group.cpu()
    label_N = torch.where(group_N < 0, split.n_groups, group_N)
    rank_N = torch.empty_like(order)
    rank_N[order] = sampling.rank_within_label(label_N[order])
    kept_G = (share * split.count_G.cpu()).round().long().clamp(min=int(share > 0))
    hidden_N = rank_N >= torch.cat((kept_G, torch.zeros(1, dtype=torch.int64)))[label_N]
    attributes = split.attributes.masked_fill(hidden_N.to(split.attributes.device)[:, None], -1)
    return replace(split, attributes=attributes)


def paired(count_CA: Tensor) -> Tensor:
    """(C,) the attribute value that goes with each class: different ones as far as there are, with most rows in all."""
    import torch
    from scipy.optimize import linear_sum_assignment

    n_classes, n_attributes = count_CA.shape
    copies = -(-n_classes // n_attributes)
    share_CA = count_CA.double() / count_CA.double().sum(1, keepdim=True)
    _, columns = linear_sum_assignment(share_CA.repeat(1, copies).numpy(), maximize=True)
    return torch.from_numpy(columns % n_attributes)
