"""Encoders of texts: shapes, padding that changes nothing, pools, weights from folders; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

transformers = pytest.importorskip("transformers", reason="the extra evenhand[text] is not installed")

from evenhand import encoders  # noqa: E402
from evenhand.encoders.bert import bert, full  # noqa: E402
from evenhand.encoders.hf import hf  # noqa: E402
from evenhand.encoders.text_mean import text_mean  # noqa: E402
from evenhand.errors import BadInput  # noqa: E402

SHAPE, VOCABULARY = (3, 8), 40
TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
Encoder = tuple[nn.Module, int]


def config_of(kind: str, **more: Any) -> Any:
    """A small configuration of this kind of model."""
    return getattr(transformers, f"{kind}Config")(**{"vocab_size": VOCABULARY, **TINY, "pad_token_id": 0, **more})


def saved(folder: Path, kind: str, **more: Any) -> str:
    """A folder with a small model of this kind, with random weights."""
    torch.manual_seed(7)
    transformers.AutoModel.from_config(config_of(kind, **more)).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(tmp_path_factory.mktemp("model"), "Bert")


def texts(lengths: list[int], width: int, *, pairs: bool = False, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    x = torch.zeros(len(lengths), 3, width, dtype=torch.int64)
    for row, length in enumerate(lengths):
        x[row, 0, :length] = torch.randint(4, VOCABULARY, (length,), generator=rng)
        x[row, 1, :length] = 1
        x[row, 2, length // 2 : length] = int(pairs)
    return x


SMALL: dict[str, Callable[[str], Encoder]] = {
    "text_mean": lambda _: text_mean(SHAPE, (16, 12), vocabulary=VOCABULARY),
    "text_mean of pairs": lambda _: text_mean(SHAPE, (16, 12), vocabulary=VOCABULARY, pairs=True),
    "bert": lambda _: bert(SHAPE, (16, 2, 2, 24), vocabulary=VOCABULARY),
    "bert mean": lambda _: bert(SHAPE, (16, 2, 2, 24), vocabulary=VOCABULARY, pool="mean"),
    "bert pooler": lambda _: bert(SHAPE, (16, 2, 2, 24), vocabulary=VOCABULARY, pool="pooler"),
    "hf": lambda folder: hf(SHAPE, folder, vocabulary=VOCABULARY),
    "hf pretrained": lambda folder: hf(SHAPE, f"{folder}?pool=mean", weights="pretrained", vocabulary=VOCABULARY),
}


@pytest.fixture(params=SMALL)
def encoder(request: pytest.FixtureRequest, folder: str) -> Encoder:
    torch.manual_seed(0)
    module, n_features = SMALL[request.param](folder)
    return module.eval(), n_features


def test_maps_texts_to_features_and_padding_changes_nothing(encoder: Encoder) -> None:
    module, n_features = encoder
    short, wide = (texts([8, 3, 5], width, pairs=True) for width in (8, 24))
    wide[:, 0, 8:] = 3  # whatever fills a row up
    found = module(short)
    assert found.shape == (3, n_features)
    torch.testing.assert_close(found, module(wide), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1:2], module(short[1:2]), atol=1e-5, rtol=0)


def test_tells_texts_apart_and_gradient_reaches_every_parameter(encoder: Encoder) -> None:
    module, _ = encoder
    x = texts([8] * 30, 8, pairs=True)
    features = module(x)
    assert features.std(0).mean() > 1e-4
    (features * torch.randn(features.shape)).sum().backward()
    without = [name for name, parameter in module.named_parameters() if parameter.grad is None]
    assert without == []


@pytest.mark.parametrize("name", ["text_mean", "bert", "hf"])
def test_can_be_built_without_weights(name: str, folder: str) -> None:
    options: dict[str, Any] = {"text_mean": {}, "bert": {"widths": (32, 2)}, "hf": {"weights": "pretrained"}}[name]
    with torch.device("meta"):
        model = encoders.build(f"hf:{folder}" if name == "hf" else name, SHAPE, 3, vocabulary=VOCABULARY, **options)
    assert all(parameter.is_meta for parameter in model.parameters())


@pytest.mark.parametrize("shape", [(3, 32, 32), (10,), (2, 8)])
@pytest.mark.parametrize("name", ["text_mean", "bert", "hf:anything"])
def test_refuses_rows_that_are_no_texts(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match=rf"the encoder {name[:2]}.* takes texts as rows of shape \(3, L\)"):
        encoders.build(name, shape, 2)


# The mean of word vectors


def test_text_mean_is_what_a_loop_gives() -> None:
    torch.manual_seed(0)
    module, _ = text_mean(SHAPE, (6, 5), vocabulary=VOCABULARY)
    x = texts([8, 2, 5], 8)
    inner: Any = module
    wanted = [
        torch.relu(inner.layers[0](torch.stack([inner.embedding.weight[t] for t in row[0, : row[1].sum()]]).mean(0)))
        for row in x
    ]
    torch.testing.assert_close(module(x), torch.stack(wanted))


def test_text_mean_of_pairs_sees_both_texts_and_their_order() -> None:
    torch.manual_seed(0)
    module, _ = text_mean(SHAPE, (6, 5), vocabulary=VOCABULARY, pairs=True)
    x = texts([8], 8, pairs=True)
    swapped = x.clone()
    swapped[:, 0] = x[:, 0].roll(4, dims=1)  # the second text first
    inner: Any = module
    means = [inner.embedding(x[0, 0, half]).mean(0) for half in (slice(4), slice(4, 8))]
    given = torch.cat((*means, (means[0] - means[1]).abs(), means[0] * means[1]))
    torch.testing.assert_close(module(x)[0], torch.relu(inner.layers[0](given)))
    assert not torch.allclose(module(x), module(swapped))


def test_text_mean_of_a_text_without_tokens_is_finite() -> None:
    module, _ = text_mean(SHAPE, vocabulary=VOCABULARY, pairs=True)
    assert module(texts([0, 4], 8)).isfinite().all()


def test_text_mean_needs_two_widths() -> None:
    with pytest.raises(BadInput, match=r"needs a width of word vectors and of a layer, got \(8,\)"):
        text_mean(SHAPE, (8,))


# BERT


def test_bert_of_the_base_size_is_the_published_architecture() -> None:
    with torch.device("meta"):
        module, n_features = bert(SHAPE, pool="pooler")
    assert n_features == 768
    assert sum(parameter.numel() for parameter in module.parameters()) == 109_482_240  # bert-base-uncased


@pytest.mark.parametrize(
    ("widths", "wanted"),
    [
        ((128,), (128, 2, 2, 512)),
        ((256, 4), (256, 4, 4, 1024)),
        ((32, 1), (32, 1, 1, 128)),
        ((8, 1, 2, 9), (8, 1, 2, 9)),
    ],
)
def test_bert_completes_its_widths(widths: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    assert full(widths) == wanted


def test_bert_has_positions_for_long_texts() -> None:
    module, _ = bert((3, 8), (16, 1, 2, 16), vocabulary=VOCABULARY, max_length=601)
    assert module(texts([601], 608)).isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (16, 1, 3)}, "hidden width .* must be a multiple of its heads, got 16 and 3"),
        ({"widths": (16, 1, 2, 3, 4)}, "takes hidden width, layers, heads, intermediate width"),
        ({"pool": "max"}, "unknown pool of the encoder bert 'max'"),
        ({"weights": "pretrained", "widths": (16, 1)}, "the published weights of the encoder bert have widths"),
        ({"weights": "nowhere/at/all"}, "nowhere/at/all"),
    ],
)
def test_bert_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        bert(SHAPE, **{"widths": (16, 1, 2, 16), **options})


# Any model


@pytest.mark.parametrize("kind", ["Bert", "Roberta", "DistilBert", "Electra", "GPT2", "DebertaV2"])
def test_hf_takes_every_kind_of_transformer(tmp_path: Path, kind: str) -> None:
    item = saved(tmp_path, kind, pad_token_id=1)
    for weights in ("none", "pretrained"):
        module, n_features = hf(SHAPE, item, weights=weights, vocabulary=VOCABULARY, pad=1, pool="mean", max_length=64)
        x = texts([8, 3], 8, pairs=True)
        x[1, 0, 3:] = 1
        assert module.eval()(x).shape == (2, n_features)
        torch.testing.assert_close(module(x)[1:], module(x[1:]), atol=1e-5, rtol=0)


def test_hf_pretrained_has_the_weights_of_the_folder_and_none_has_not(folder: str) -> None:
    reference = transformers.AutoModel.from_pretrained(folder).eval()
    x = texts([8, 3, 5], 8, pairs=True)
    found = reference(input_ids=x[:, 0], attention_mask=x[:, 1], token_type_ids=x[:, 2])
    for pool, wanted in {
        "cls": found.last_hidden_state[:, 0],
        "pooler": found.pooler_output,
        "mean": torch.stack([h[: int(m.sum())].mean(0) for h, m in zip(found.last_hidden_state, x[:, 1], strict=True)]),
    }.items():
        module, _ = hf(SHAPE, folder, weights="pretrained", vocabulary=VOCABULARY, pool=pool)
        torch.testing.assert_close(module.eval()(x), wanted, atol=1e-5, rtol=0)
        torch.testing.assert_close(hf(SHAPE, f"{folder}?pool={pool}", weights="pretrained")[0].eval()(x), wanted)
        assert not torch.allclose(hf(SHAPE, folder, vocabulary=VOCABULARY, pool=pool)[0].eval()(x), wanted, atol=0.01)


def test_hf_without_weights_takes_the_vocabulary_of_the_data(folder: str) -> None:
    module, _ = hf(SHAPE, folder, vocabulary=90)
    x = texts([8], 8)
    x[0, 0, 0] = 89
    assert module(x).shape == (1, 16)


def test_weights_of_a_file_fill_the_encoder(folder: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    trained = encoders.build("bert", SHAPE, 2, widths=(16, 1, 2, 16), vocabulary=VOCABULARY)
    save_file(trained.state_dict(), tmp_path / "model.safetensors")
    again = encoders.build("bert", SHAPE, 5, widths=(16, 1, 2, 16), vocabulary=VOCABULARY, weights=str(tmp_path))
    x = texts([8, 4], 8)
    torch.testing.assert_close(again.eval().encoder(x), trained.eval().encoder(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"tokenizer": "words"},
            r"belong to a tokenizer of their own with 40 tokens, but the texts were tokenised by words",
        ),
        ({"vocabulary": 41, "tokenizer": "other"}, r"tokenised by other with 41; choose tokenizer="),
        ({"max_length": 513}, r"takes texts of at most 512 tokens, got max_length=513"),
        ({"pool": "last"}, "unknown pool of the encoder hf 'last'"),
    ],
)
def test_hf_refuses(folder: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        hf(SHAPE, folder, **{"weights": "pretrained", "vocabulary": VOCABULARY, **options})


def test_hf_refuses_a_pooler_that_is_not_there_and_models_of_other_kinds(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="models of the kind 'distilbert' have no pooler; choose the pool cls or mean"):
        hf(SHAPE, saved(tmp_path / "distilbert", "DistilBert"), pool="pooler")
    transformers.T5Config(vocab_size=40, d_model=16, num_layers=1, num_heads=2, d_ff=16).save_pretrained(
        tmp_path / "t5"
    )
    with pytest.raises(BadInput, match="an encoder or a decoder alone, but is of the kind 't5'"):
        hf(SHAPE, str(tmp_path / "t5"))


def test_hf_that_is_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BadInput, match=r"no folder nobody/none, and no configuration of a model 'nobody/none'"):
        hf(SHAPE, "nobody/none")
    with pytest.raises(BadInput, match=r"the folder .* holds no configuration of a model that can be read"):
        hf(SHAPE, str(tmp_path))
    with pytest.raises(BadInput, match="hf:NAME"):
        encoders.build("hf", SHAPE, 2)
