"""CLIP's zero-shot predictions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from evenhand.batch import Split, TensorInputs
from evenhand.encoders._normalise import Normalise
from evenhand.errors import BadInput
from evenhand.zeroshot import make
from evenhand.zeroshot._base import logits_of
from evenhand.zeroshot.clip import CLIPClassifier, load
from small_models import BIRDS, SIDE, clip, clip_folder, images, split

open_clip = pytest.importorskip("open_clip")
MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
CPU = torch.device("cpu")
TEMPLATES = ("a photo of a {}.", "{} in the wild", "art of the {}, or a {}")


@pytest.fixture(scope="module")
def tokenizer() -> open_clip.SimpleTokenizer:
    return open_clip.SimpleTokenizer(context_length=24)


def slow_reference(
    model: torch.nn.Module, tokenizer: object, x: torch.Tensor, templates: tuple[str, ...]
) -> list[list[float]]:
    """Each image with each class, one at a time, by open_clip's own functions."""
    logits = []
    for image in x:
        pixels = (image + 1) / 2
        ready = torch.stack([(pixels[c] - MEAN[c]) / STD[c] for c in range(3)])
        v = model.encode_image(ready[None])[0]
        row = []
        for name in BIRDS:
            total = torch.zeros_like(v)
            for template in templates:
                t = model.encode_text(tokenizer([template.replace("{}", name)]))[0]
                total += t / t.norm()
            cosine = (v / v.norm()) @ (total / total.norm())
            row.append(float(model.logit_scale.exp() * cosine))
        logits.append(row)
    return logits


@pytest.mark.parametrize("templates", [TEMPLATES[:1], TEMPLATES])
@torch.no_grad()
def test_logits_are_those_of_each_image_with_each_prompt(tokenizer: object, templates: tuple[str, ...]) -> None:
    model, x = clip(), images(5)
    found = CLIPClassifier(model, tokenizer, BIRDS, templates)(x)
    assert_close(found, torch.tensor(slow_reference(model, tokenizer, x, templates)), atol=1e-4, rtol=1e-5)
    assert (found[:, :1] - found).abs().max() > 0.01  # prompts matter


@torch.no_grad()
def test_templates_are_averaged_as_open_clip_averages_them(tokenizer: object) -> None:
    model, names = clip(), ("crane", "fox", "owl")
    wanted = open_clip.build_zero_shot_classifier(model, tokenizer, names, TEMPLATES[:2])
    assert_close(CLIPClassifier(model, tokenizer, names, TEMPLATES[:2]).text_CD, wanted.T, atol=1e-5, rtol=0)


@torch.no_grad()
def test_other_kinds_of_models(tokenizer: object) -> None:
    """A text tower of its own, and the bias of SigLIP."""
    from small_models import CLIP_CONFIG

    torch.manual_seed(1)
    model = open_clip.CustomTextCLIP(**CLIP_CONFIG, init_logit_bias=-3.0).eval()
    x = images(4)
    tokens = tokenizer([f"a photo of a {name}." for name in BIRDS])
    wanted = model.get_logits(Normalise(MEAN, STD)(x), tokens)[0]
    assert_close(CLIPClassifier(model, tokenizer, BIRDS)(x), wanted, atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_grey_images_are_three_equal_channels(tokenizer: object) -> None:
    classifier, grey = CLIPClassifier(clip(), tokenizer, BIRDS), images(3, channels=1)
    assert_close(classifier(grey), classifier(grey.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize(("height", "width"), [(40, 40), (30, 52), (9, 9)])
@torch.no_grad()
def test_logits_of_a_picture_are_those_after_open_clips_own_preparation(
    tokenizer: object, height: int, width: int
) -> None:
    model = clip()
    classifier = CLIPClassifier(model, tokenizer, BIRDS)
    prepare = open_clip.image_transform(SIDE, False, mean=MEAN, std=STD)
    pixels = ((images(2, side=64)[:, :, :height, :width] + 1) * 127.5).round()
    found = classifier(pixels / 127.5 - 1)
    ready = torch.stack([prepare(Image.fromarray(one.byte().permute(1, 2, 0).numpy())) for one in pixels])
    image = model.encode_image(ready, normalize=True)
    wanted = model.logit_scale.exp() * image @ classifier.text_CD.T
    assert_close(found, wanted, atol=0.02, rtol=0)
    assert (wanted[0] - wanted[1]).abs().max() > 0.2


def test_images_go_through_the_model_in_batches_and_texts_once(tokenizer: object) -> None:
    model, sizes, texts = clip(), [], []
    model.visual.register_forward_hook(lambda module, args, output: sizes.append(len(args[0])))
    model.transformer.register_forward_hook(lambda module, args, output: texts.append(len(args[0])))
    classifier = CLIPClassifier(model, tokenizer, BIRDS)
    rows = split(11)
    done: list[int] = []
    whole = logits_of(classifier, rows, 100, CPU)
    sizes.clear()
    found = logits_of(classifier, rows, 4, CPU, on_rows=done.append)
    assert sizes == done == [4, 4, 3]
    assert len(texts) == 1
    assert_close(found, whole, atol=1e-5, rtol=0)
    assert (found.dtype, found.requires_grad, model.training) == (torch.float32, False, False)


def test_a_split_without_rows(tokenizer: object) -> None:
    empty = Split(TensorInputs(torch.zeros(0, 3, SIDE, SIDE)), torch.zeros(0, dtype=torch.int64), 3)
    assert logits_of(CLIPClassifier(clip(), tokenizer, BIRDS), empty, 4, CPU).shape == (0, 3)


def test_classes_that_the_tokenizer_cannot_tell_apart(tokenizer: object) -> None:
    with pytest.raises(BadInput, match="'crane' and 'Crane' have the same prompts"):
        CLIPClassifier(clip(), tokenizer, ("crane", "owl", "Crane"))
    long = "very " * 30
    with pytest.raises(BadInput, match="have the same prompts for the tokenizer"):
        CLIPClassifier(clip(), tokenizer, (f"{long}old owl", f"{long}young owl"))


@torch.no_grad()
def test_a_model_in_a_folder_is_loaded_with_its_normalisation(tmp_path: Path, tokenizer: object) -> None:
    looks = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bilinear", "resize_mode": "squash"}
    folder = clip_folder(tmp_path / "model", seed=3, preprocess=looks)
    model, own = load(str(folder))
    classifier = CLIPClassifier(model, own, BIRDS)
    assert classifier.preparation == {**looks, "mode": "RGB", "fill_color": 0, "size": classifier.preparation["size"]}
    x = images(4)
    image = clip(3).encode_image(x, normalize=True)  # this normalisation leaves images in [-1, 1] as they are
    text = clip(3).encode_text(tokenizer([f"a photo of a {name}." for name in BIRDS]), normalize=True)
    assert_close(classifier(x), clip(3).logit_scale.exp() * image @ text.T, atol=1e-4, rtol=1e-5)


def test_a_folder_is_identified_by_its_weights_and_its_normalisation(tmp_path: Path) -> None:
    looks = {"mean": [0.5, 0.5, 0.5]}
    folders = [(3, None), (3, looks), (4, None)]
    found = set()
    for seed, preprocess in folders:
        place = clip_folder(tmp_path / "model", seed=seed, preprocess=preprocess)
        found.add(make("clip", model=str(place)).identified()["weights_sha256"])
    assert len(found) == 3
    assert make("clip", model="ViT-B-32", weights="openai").identified() == {}


@pytest.fixture
def small_architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The small model as one of open_clip's architectures."""
    from small_models import CLIP_CONFIG

    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "small", CLIP_CONFIG)
    return "small"


def test_a_file_of_weights_for_an_architecture(tmp_path: Path, small_architecture: str) -> None:
    file = clip_folder(tmp_path / "m", seed=5) / "open_clip_model.safetensors"
    model, _ = load(small_architecture, str(file))
    for name, weight in clip(5).state_dict().items():
        assert_close(model.state_dict()[name], weight, atol=0, rtol=0)
    predictor = make("clip", model="small", weights=str(file))
    assert len(predictor.identified()["weights_sha256"]) == 64


def test_weights_of_another_network_or_damaged_ones(tmp_path: Path, small_architecture: str) -> None:
    from safetensors.torch import save_file

    file = tmp_path / "other.safetensors"
    save_file(clip(embed_dim=10).state_dict(), file)
    with pytest.raises(BadInput, match=r"the weights .*other.safetensors of small cannot be loaded \(RuntimeError"):
        load(small_architecture, str(file))
    file.write_bytes(b"nothing")
    with pytest.raises(BadInput, match="cannot be loaded"):
        load(small_architecture, str(file))


@pytest.mark.parametrize(
    ("model", "weights", "published_as", "message"),
    [
        ("ViT-B-3", "openai", "", r"unknown model of open_clip 'ViT-B-3'; did you mean 'ViT-B-32'"),
        ("ViT-B-32", "", "", "needs the option weights: a file, or what is published for ViT-B-32: openai"),
        ("ViT-B-32", "laion2b", "", r"unknown weights of ViT-B-32 'laion2b'"),
        ("ViT-B-32", "no/such/file", "", "there is no file of weights no/such/file"),
        ("ViT-B-32", "gone.pt", "", "there is no file of weights gone.pt"),
        ("ViT-B-32", "openai", "openai", "published_as says what a file of weights holds, but openai is no file"),
        ("hf-hub:a/b", "openai", "", "comes with its own weights"),
    ],
)
def test_models_and_weights_that_are_not_there(model: str, weights: str, published_as: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load(model, weights, published_as)


def test_weights_that_can_neither_be_found_nor_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BadInput, match="the weights laion2b_s34b_b79k of ViT-B-32 cannot be loaded") as refused:
        load("ViT-B-32", "laion2b_s34b_b79k")
    assert "open_clip_pytorch_model.bin from https://huggingface.co/laion/CLIP-ViT-B-32-laion2B-s34B-b79K" in str(
        refused.value
    )
    assert "name its path as weights" in str(refused.value)
    with pytest.raises(BadInput, match=r"from https://huggingface\.co/some/model, put them into a folder"):
        load("hf-hub:some/model")
    with pytest.raises(BadInput, match=r"holds no open_clip_config\.json"):
        load(str(tmp_path))


def test_a_file_whose_normalisation_is_not_clear_must_say_what_it_is(tmp_path: Path) -> None:
    file = tmp_path / "w.pt"
    file.write_bytes(b"0")
    with pytest.raises(BadInput, match="say by published_as which of them"):
        load("ViT-L-14", str(file))
    with pytest.raises(BadInput, match="unknown weights of ViT-L-14 'opena'; did you mean 'openai'"):
        load("ViT-L-14", str(file), "opena")


def test_what_a_file_is_published_as_decides_normalisation_and_activation(tmp_path: Path) -> None:
    from evenhand.zeroshot.clip import _named

    file = tmp_path / "w.pt"
    file.touch()
    openai = _named(open_clip, "ViT-B-32", str(file), "openai")
    assert openai["force_quick_gelu"]
    assert openai["force_preprocess_cfg"]["mean"] == MEAN
    siglip = _named(open_clip, "ViT-B-16-SigLIP", str(file), "")
    assert siglip["force_preprocess_cfg"] == {
        "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "interpolation": "bicubic", "resize_mode": "squash"
    }  # fmt: skip
    assert not siglip["force_quick_gelu"]
    assert _named(open_clip, "ViT-B-32", "openai", "") == {"pretrained": "openai", "force_quick_gelu": True}
