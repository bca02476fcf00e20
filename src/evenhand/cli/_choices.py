"""`--set key=value`: which of it are options of the data set, of a method, and which training settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from evenhand.errors import BadInput, unknown
from evenhand.options import pairs
from evenhand.settings import Settings

PREFIX = "data."
SETTINGS = tuple(field.name for field in fields(Settings))


def for_data(texts: list[str], cache: str | None, skip_bad: bool) -> tuple[dict[str, Any], list[str]]:
    """The options of the data set (`data.key=value`, `--cache`, `--skip-bad`), and what of `--set` is left.

    Raises:
        BadInput: an option is given twice.
    """
    own = [text for text in texts if text.startswith(PREFIX)]
    options: dict[str, Any] = pairs([text.removeprefix(PREFIX) for text in own])
    for key, value in (("cache", cache), ("skip_bad", skip_bad or None)):
        if value is not None:
            if key in options:
                raise BadInput(f"{key} is given twice, by --{key.replace('_', '-')} and by --set")
            options[key] = value
    return options, [text for text in texts if not text.startswith(PREFIX)]


def for_one(
    texts: list[str], method: str, epochs: int | None, seed: int, **flags: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the method and the training settings, of `--set`, `--epochs`, `--seed` and other flags together.

    Raises:
        BadInput: a key that neither has (the nearest of both is suggested), or that another flag sets too.
    """
    given = {key.removeprefix(f"{method}."): value for key, value in pairs(texts).items()}
    known = option_names(method)
    for key in given:
        if key not in known and key not in SETTINGS:
            raise unknown(f"option of method {method} or of training", key, [*known, *SETTINGS])
    options = {key: value for key, value in given.items() if key in known}
    settings = {key: value for key, value in given.items() if key not in known}
    return options, training(settings, epochs, **flags) | {"seed": seed}


def for_several(
    texts: list[str], methods: list[str], epochs: int | None, **flags: Any
) -> tuple[dict[str, dict[str, str]], dict[str, Any]]:
    """The options of each method (`method.key=value`) and the training settings of all (`key=value`).

    Raises:
        BadInput: a method that is not compared, a key that training does not have, or that another flag sets too.
    """
    options: dict[str, dict[str, str]] = {method: {} for method in methods}
    settings: dict[str, str] = {}
    for key, value in pairs(texts).items():
        method, dot, option = key.partition(".")
        if not dot:
            _check_setting(key, methods)
            settings[key] = value
        elif method not in options:
            raise unknown(f"method in --set {key}={value}, it is not compared:", method, methods)
        else:
            options[method][option] = value
    return options, training(settings, epochs, **flags)


def training(settings: dict[str, Any], epochs: int | None, **flags: Any) -> dict[str, Any]:
    """The settings with those that have a flag of their own; a flag that is None was not given.

    Raises:
        BadInput: one of them, or the seed, is also given by `--set`.
    """
    if "seed" in settings:
        raise BadInput("the seed is not a --set key: use --seed, or --seeds where several are trained")
    given = {name: value for name, value in {"epochs": epochs, **flags}.items() if value is not None}
    for name in given:
        if name in settings:
            is_are = "is" if name == "pretrain" else "are"
            raise BadInput(f"{name} {is_are} given twice, by --{name.replace('_', '-')} and by --set")
    return settings | given


def check_encoder(settings: Mapping[str, Any]) -> None:
    """Refuse a wrong name of an encoder, or of a file of its weights, before data are read, which may take long.

    Raises:
        BadInput: there is no such encoder or file.
    """
    if "encoder" in settings or "weights" in settings:
        from evenhand import encoders

        encoders.check_named(settings.get("encoder"), settings.get("weights", "none"))


def option_names(method: str) -> list[str]:
    """The options that a method has."""
    from evenhand.methods import find

    return [field.name for field in fields(find(method)) if field.init]


def _check_setting(key: str, methods: list[str]) -> None:
    if key in SETTINGS:
        return
    owners = [method for method in methods if key in option_names(method)]
    if owners:
        raise BadInput(
            f"{key} is an option of a method, not of training: write --set {owners[0]}.{key}=…"
            + (f" (also of {', '.join(owners[1:])})" if owners[1:] else "")
        )
    raise unknown("option of training", key, SETTINGS)
