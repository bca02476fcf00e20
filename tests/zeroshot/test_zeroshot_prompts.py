"""What classes are called in prompts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from evenhand.errors import BadInput
from evenhand.zeroshot._prompts import check_distinct, check_templates, prompt, spoken
from small_models import BIRDS, split


@pytest.mark.parametrize("name", ["{}", "{0}", "a {name} b", "%s", "Käfer & co.", "'); --", "\\1", "狐"])
def test_odd_characters_stay_what_they_are(name: str) -> None:
    assert prompt("a photo of a {}.", name) == "a photo of a " + name + "."
    assert prompt("{}, {}!", name) == name + ", " + name + "!"
    names = (name, "plain", "other")
    assert spoken(split(6), names) == names


def test_names_of_the_data_are_made_readable_and_given_ones_are_taken_as_they_are() -> None:
    data = replace(split(6), class_names=("n01608432 great_grey_owl", "water_bird", "n0123  x"))
    assert spoken(data) == ("great grey owl", "water bird", "n0123 x")
    assert spoken(data, ("a_b", "n01608432 owl", " c ")) == ("a_b", "n01608432 owl", " c ")


@pytest.mark.parametrize(
    ("given", "message"),
    [(("a", "b"), "each of the 3 classes, got 2 names"), (("a", " ", "b"), "the name of class 1 is blank")],
)
def test_names_that_do_not_fit_are_refused(given: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        spoken(split(6), given)


def test_classes_without_names_are_refused() -> None:
    with pytest.raises(BadInput, match="needs the option class_names"):
        spoken(replace(split(6), class_names=()))


def test_templates_name_the_class() -> None:
    check_templates(("{}", "a {} on a {}"))
    with pytest.raises(BadInput, match="got 'a bird'"):
        check_templates(("a {}", "a bird"))
    with pytest.raises(BadInput, match="at least one template"):
        check_templates(())


def test_classes_with_the_same_tokens_are_refused() -> None:
    check_distinct(torch.tensor([[1, 2], [1, 3], [2, 1]]), BIRDS)
    with pytest.raises(BadInput, match=r"'landbird' and 'Käfer & co\. \{1\}' have the same prompts"):
        check_distinct(torch.tensor([[1, 2], [1, 3], [1, 2]]), BIRDS)
