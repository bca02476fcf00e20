"""The diffusion classifier."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from evenhand.errors import BadInput
from evenhand.randomness import generator
from evenhand.zeroshot import make
from evenhand.zeroshot._base import logits_of
from evenhand.zeroshot._images import fitted
from evenhand.zeroshot._pipeline import Parts, load
from evenhand.zeroshot.diffusion import DiffusionClassifier, by_stages, timesteps
from small_models import images, pipeline, split

pytest.importorskip("diffusers")
pytest.importorskip("transformers")
CPU = torch.device("cpu")
NAMES = ("cat", "dog", "an owl")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pipelines by what their networks predict, and one of pixels, whose network has learned a variance."""
    root = tmp_path_factory.mktemp("pipelines")
    found = {kind: pipeline(root / kind, prediction=kind) for kind in ("epsilon", "v_prediction", "sample")}
    return found | {"pixels": pipeline(root / "pixels", latent=False, variance=True)}


def classifier(
    folder: Path, *, trials: tuple[int, ...] = (6,), keep: tuple[int, ...] = (), **options: int
) -> DiffusionClassifier:
    chosen = {"batch_size": 4, "seed": 7, **options}
    return DiffusionClassifier(load(str(folder), CPU), NAMES, trials=trials, keep=keep, **chosen)


def brute_force(parts: Parts, x: Tensor, seed: int, row: int, n_pairs: int) -> list[float]:
    """Minus the mean squared error, by a loop over classes, timesteps and noises through diffusers' own scheduler."""
    import diffusers

    scheduler = diffusers.DDPMScheduler(num_train_timesteps=100)
    ids = [parts.tokenizer(f"a photo of a {name}.", padding="max_length", max_length=20).input_ids for name in NAMES]
    small = fitted(x[None], (parts.side, parts.side))
    latent = small if parts.vae is None else parts.vae.encode(small).latent_dist.mean * parts.vae.config.scaling_factor
    noises = torch.randn(n_pairs, *latent.shape[1:], generator=generator(seed, row))
    logits = []
    for tokens in ids:
        text = parts.text_encoder(torch.tensor([tokens])).last_hidden_state
        total = 0.0
        for t, noise in zip(timesteps(n_pairs, 100), noises, strict=True):
            noised = scheduler.add_noise(latent, noise[None], t[None])
            output = parts.unet(noised, t, encoder_hidden_states=text).sample[:, : latent.shape[1]]
            a = scheduler.alphas_cumprod[t]
            if parts.prediction == "v_prediction":
                output = a.sqrt() * output + (1 - a).sqrt() * noised
            if parts.prediction == "sample":
                output = (noised - a.sqrt() * output) / (1 - a).sqrt()
            total += float((noise - output[0]).double().pow(2).sum())
        logits.append(-total / n_pairs)
    return logits


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample", "pixels"])
@torch.no_grad()
def test_logits_are_those_of_a_loop_over_classes_timesteps_and_noises(folders: dict[str, Path], kind: str) -> None:
    chosen, data = classifier(folders[kind]), split(2)
    found = chosen.logits(data.batch(torch.arange(2)))
    wanted = [brute_force(chosen.parts, data.inputs.take(torch.tensor([row]))[0], 7, row, 6) for row in range(2)]
    assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=2e-5, atol=2e-4)
    assert found.std(1).min() > 10 * (found - torch.tensor(wanted, dtype=torch.float64)).abs().max()  # prompts matter


@torch.no_grad()
def test_stages_with_equal_budgets_find_what_the_loop_finds(folders: dict[str, Path]) -> None:
    x = images(4)
    plain, staged = classifier(folders["epsilon"]), classifier(folders["epsilon"], trials=(6, 6), keep=(1,))
    for row, image in enumerate(x):
        one, other = (each.of_image(image[None], generator(7, row)) for each in (plain, staged))
        assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_classes_that_are_given_up_cost_nothing_more(folders: dict[str, Path]) -> None:
    staged = classifier(folders["epsilon"], trials=(2, 5, 9), keep=(2, 1), batch_size=100)
    sizes: list[int] = []
    staged.parts.unet.register_forward_hook(lambda module, args, output: sizes.append(len(args[0])))
    staged.of_image(images(1), generator(0))
    assert sizes == [3 * 2, 2 * 3]  # with one class left there is nothing more to find out
    sizes.clear()
    classifier_of_batches = classifier(folders["epsilon"])
    classifier_of_batches.parts.unet.register_forward_hook(lambda module, args, output: sizes.append(len(args[0])))
    classifier_of_batches.of_image(images(1), generator(0))
    assert sizes == [4, 4, 4, 4, 2]  # 3 classes of 6 pairs, 4 at once


def test_results_follow_from_the_seed_and_not_from_the_batches(folders: dict[str, Path]) -> None:
    data = split(5)
    wanted = logits_of(classifier(folders["pixels"]), data, 2, CPU)
    assert_close(logits_of(classifier(folders["pixels"]), data, 2, CPU), wanted, rtol=0, atol=0)
    assert_close(logits_of(classifier(folders["pixels"], batch_size=7), data, 5, CPU), wanted, rtol=1e-5, atol=1e-3)
    assert (logits_of(classifier(folders["pixels"], seed=8), data, 2, CPU) - wanted).abs().max() > 0.1


errors = st.integers(1, 6).flatmap(
    lambda c: st.lists(st.lists(st.integers(0, 9), min_size=8, max_size=8), min_size=c, max_size=c)
)


@given(errors, st.integers(1, 6))
def test_elimination_never_drops_the_true_minimiser_when_budgets_are_equal(table: list[list[int]], kept: int) -> None:
    error_CT = torch.tensor(table, dtype=torch.float64)
    found = by_stages(lambda c, k: error_CT[c][:, k], len(table), (8, 8), (kept,))
    assert int(found.argmax()) == int(error_CT.mean(1).argmin())
    assert_close(found, -error_CT.mean(1))


@given(errors, st.lists(st.integers(1, 8), min_size=1, max_size=3), st.data())
def test_the_survivor_has_the_largest_logit(table: list[list[int]], some: list[int], draw: st.DataObject) -> None:
    error_CT, trials = torch.tensor(table, dtype=torch.float64), tuple(sorted(some))
    keep = tuple(sorted(draw.draw(st.lists(st.integers(1, 6), min_size=len(some) - 1, max_size=len(some) - 1)))[::-1])
    asked: list[tuple[Tensor, Tensor]] = []

    def errors_of(classes: Tensor, pairs: Tensor) -> Tensor:
        asked.append((classes, pairs))
        return error_CT[classes][:, pairs]

    found = by_stages(errors_of, len(table), trials, keep)
    left, done = list(range(len(table))), 0
    for total, k in zip(trials, (*keep, 1), strict=True):  # slowly
        done = total
        left = sorted(sorted(left, key=lambda c: (sum(table[c][:done]), c))[:k])
        if len(left) == 1:
            break
    assert found.isfinite().all()
    assert found[left[0]] == found.max()
    assert_close(found[left[0]], -error_CT[left[0], :done].mean())
    assert sum(len(c) * len(k) for c, k in asked) <= len(table) * trials[-1]


def test_a_class_that_was_given_up_is_as_far_from_the_best_as_it_was_on_the_same_pairs() -> None:
    error_CT = torch.tensor([[1.0, 1, 9, 9], [2, 2, 3, 3], [4, 6, 0, 0]], dtype=torch.float64)
    found = by_stages(lambda c, k: error_CT[c][:, k], 3, (2, 4), (2,))
    # The third class is given up after two pairs, on which it is worse by 3 than the best in the end, the second.
    assert found.tolist() == [-5.0, -2.5, -5.5]


@pytest.mark.parametrize("n_pairs", [1, 2, 5, 8, 50, 500])
def test_every_beginning_of_the_timesteps_is_spread_evenly(n_pairs: int) -> None:
    found = timesteps(n_pairs, 1000)
    wanted = [int((k + 0.5) * 1000 / n_pairs) for k in range(n_pairs)]
    assert sorted(found.tolist()) == wanted
    for n in (n for n in (1, 2, 4, 8, 16, 32) if n <= n_pairs):
        inside = torch.histc(found[:n].double(), bins=n, min=0, max=1000)
        assert (inside - 1).abs().max() <= 1


def test_more_pairs_than_timesteps_use_some_again() -> None:
    assert torch.bincount(timesteps(30, 10), minlength=10).tolist() == [3] * 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": (0,), "keep": ()}, "trials must be whole numbers of at least 1"),
        ({"trials": (5, 3)}, "that do not decrease, got"),
        ({"trials": (5,)}, "keep must say for each stage but the last"),
        ({"trials": (5, 6, 7), "keep": (2, 3)}, "never more than before"),
        ({"keep": (0,)}, "keep must say"),
        ({"templates": ("a {}", "the {}")}, "diffusion takes one template, got 2"),
        ({"weights": "x"}, "unknown option of zero-shot prediction by diffusion 'weights'"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make("diffusion", model="m", **options)


def test_a_pipeline_that_can_neither_be_found_nor_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BadInput, match="there is no folder some/diffusion") as refused:
        load("some/diffusion", CPU)
    assert "https://huggingface.co/some/diffusion, put them into one folder, and name it as model" in str(refused.value)
    with pytest.raises(BadInput, match="holds no list of the parts of a pipeline that can be read"):
        load(str(tmp_path), CPU)


def test_pipelines_of_other_kinds(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "p")
    index, schedule, unet = (
        folder / name for name in ("model_index.json", "scheduler/scheduler_config.json", "unet/config.json")
    )
    for file, old, new, message in [
        (unet, '"sample_size": 8', '"sample_size": null', "must be for squares of one size"),
        (unet, '"addition_embed_type": null', '"addition_embed_type": "text"', "needs more than one text"),
        (schedule, '"epsilon"', '"flow_prediction"', "the network predicts 'flow_prediction'"),
        (schedule, '"beta_schedule"', '"shift"', "is not one of alphas and betas"),
        (index, '["diffusers", "AutoencoderKL"]', "[null, null]", "takes 4 channels, but images have 3"),
        (index, "CLIPTextModel", "T5EncoderModel", "has the text encoder T5EncoderModel"),
    ]:
        before = file.read_text()
        assert old in before, old
        file.write_text(before.replace(old, new))
        with pytest.raises(BadInput, match=message):
            load(str(folder), CPU)
        file.write_text(before)
    assert load(str(folder), CPU).side == 16


def test_the_files_of_a_folder_identify_it(folders: dict[str, Path], tmp_path: Path) -> None:
    found = {
        kind: make("diffusion", model=str(folder)).identified()["weights_sha256"] for kind, folder in folders.items()
    }
    assert len(set(found.values())) == 4  # three of them have the same weights
    assert make("diffusion", model="some/name").identified() == {}
