"""What classes are called, and the texts that say so."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor

from evenhand.batch import Split
from evenhand.errors import BadInput

PHOTO = "a photo of a {}."
SLOT = "{}"
WORDNET = re.compile(r"n\d{8} (?=\S)")


def check_templates(templates: Sequence[str]) -> None:
    """Raise BadInput unless there is a template and each says where the class is named."""
    if not templates:
        raise BadInput("zero-shot prediction needs at least one template")
    for template in templates:
        if SLOT not in template:
            raise BadInput(f"a template says by {SLOT} where the class is named, got {template!r}")


def prompt(template: str, name: str) -> str:
    """The template with the class named; braces and other signs in the name stay what they are."""
    return template.replace(SLOT, name)


def spoken(split: Split, given: Sequence[str] = ()) -> tuple[str, ...]:
    """What each class is called in prompts: as given, else by the split's own names, made readable.

    `n01608432 great_grey_owl` becomes `great grey owl`.

    Raises:
        BadInput: there are no names, not one for each class, or one is blank.
    """
    names = tuple(given) or tuple(
        " ".join(WORDNET.sub("", name).replace("_", " ").split()) for name in split.class_names
    )
    if not names:
        raise BadInput("the classes of the data have no names; zero-shot prediction needs the option class_names")
    if len(names) != split.n_classes:
        raise BadInput(f"class_names must name each of the {split.n_classes} classes, got {len(names)} names")
    for number, name in enumerate(names):
        if not name.strip():
            raise BadInput(f"class_names must name each class, but the name of class {number} is blank")
    return names


def check_distinct(tokens_CL: Tensor, names: Sequence[str]) -> None:
    """Raise BadInput if two classes have the same tokens, so that no image could be told to be of the second.

    That is so where names are equal but for what the tokenizer drops: capitals, or what comes after its last token.
    """
    first: dict[bytes, int] = {}
    for number, tokens_L in enumerate(tokens_CL.cpu().numpy()):
        other = first.setdefault(tokens_L.tobytes(), number)
        if other != number:
            raise BadInput(
                f"the classes {names[other]!r} and {names[number]!r} have the same prompts for the tokenizer, so that "
                "the second would never be predicted; name the classes apart by class_names"
            )
