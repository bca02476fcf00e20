"""The losses of self-supervised objectives against slow references and values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor, nn
from unlabelled import SIDE, pictures, transformer

from evenhand import encoders, pretraining
from evenhand.encoders._normalise import Published
from evenhand.errors import BadInput
from evenhand.model import Model
from evenhand.pretraining import mae
from evenhand.pretraining._base import check
from evenhand.pretraining._loop import rate
from evenhand.pretraining.barlowtwins import BarlowTwins
from evenhand.pretraining.mae import MAE, Painter, patch_error
from evenhand.pretraining.moco import MoCo
from evenhand.settings import Settings

# --- Barlow Twins ---


def as_projections(*z_BK: list[list[float]]) -> tuple[nn.Module, Tensor]:
    """A learner whose projections are its inputs, and the two views with these projections."""
    views = torch.stack([torch.tensor(z, dtype=torch.float64) for z in z_BK], dim=1)
    learner = BarlowTwins().learner(nn.Identity(), 2, len(views), fresh=True)
    learner.projector = nn.Identity()
    return learner, views


def correlations(z1_BK: Tensor, z2_BK: Tensor) -> list[list[float]]:
    """C, entry by entry: population variance with 1e-5 beside it."""

    def standard(column: list[float]) -> list[float]:
        mean = sum(column) / len(column)
        variance = sum((v - mean) ** 2 for v in column) / len(column)
        return [(v - mean) / math.sqrt(variance + 1e-5) for v in column]

    columns = [[standard(column) for column in z.T.tolist()] for z in (z1_BK, z2_BK)]
    return [[sum(a * b for a, b in zip(i, j, strict=True)) / len(i) for j in columns[1]] for i in columns[0]]


def test_barlow_twins_on_three_pairs_by_hand() -> None:
    learner, views = as_projections([[1, 2], [-1, 0], [0, 1]], [[1, 1], [-1, 0], [0, 2]])
    assert float(learner(views).detach()) == pytest.approx(0.256382, abs=1e-5)
    matrix = correlations(views[:, 0], views[:, 1])
    assert [*matrix[0], *matrix[1]] == pytest.approx([0.999985, 0.499993] * 2, abs=1e-5)


def test_barlow_twins_is_the_sum_over_all_pairs_of_features() -> None:
    z1, z2 = torch.randn(2, 7, 2, generator=Generator().manual_seed(1), dtype=torch.float64)
    learner, views = as_projections(z1.tolist(), z2.tolist())
    matrix = correlations(z1, z2)
    loss = sum((1 - matrix[i][j]) ** 2 if i == j else 0.0051 * matrix[i][j] ** 2 for i in range(2) for j in range(2))
    assert float(learner(views).detach()) == pytest.approx(loss, abs=1e-6)


def test_equal_views_with_uncorrelated_features_have_no_loss_and_constant_ones_lose_their_diagonal() -> None:
    apart = [[1.0, 1], [1, -1], [-1, 1], [-1, -1]]
    learner, views = as_projections(apart, apart)
    assert float(learner(views).detach()) == pytest.approx(0, abs=1e-8)
    constant = [[1.0, 1], [1, -1], [1, 1], [1, -1]]
    learner, views = as_projections(constant, constant)
    assert float(learner(views).detach()) == pytest.approx(1, abs=1e-4)


def test_each_view_passes_batch_normalisation_by_itself() -> None:
    encoder = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(3, affine=False))
    learner = BarlowTwins(dimension=8).learner(encoder, 3, 6, fresh=True)
    x = torch.randn(6, 3, 1, 1)
    same, shifted = learner(torch.stack([x, x], dim=1)), learner(torch.stack([x, x + 100], dim=1))
    torch.testing.assert_close(same, shifted, atol=1e-3, rtol=1e-3)


# --- MoCo ---


def contrast(dimension: int, **options: object) -> nn.Module:
    """A learner whose queries and keys are its inputs."""
    objective = MoCo(dimension=dimension, **options)  # type: ignore[arg-type]
    learner = objective.learner(nn.Flatten(), dimension, 100, fresh=True)
    for name in ("query", "key"):
        same = nn.Linear(dimension, dimension, bias=False)
        nn.init.eye_(same.weight)
        setattr(learner, name, same)
    learner.key.requires_grad_(False)
    return learner


@pytest.mark.parametrize(("temperature", "loss"), [(0.07, 0.00018942), (0.2, 0.04890685)])
def test_moco_against_a_queue_of_two_by_hand(temperature: float, loss: float) -> None:
    learner = contrast(2, temperature=temperature, batch_size=2, queue=2)
    place = learner.get_extra_state()["place"]
    learner.set_extra_state({"bank": torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), "place": place})
    views = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]])
    assert float(learner(views).detach()) == pytest.approx(loss, abs=1e-6)


def test_keys_enter_the_queue_after_the_loss_and_the_oldest_leave_it() -> None:
    rng = Generator().manual_seed(0)
    learner = contrast(3, batch_size=4, queue=8)
    queue = learner.get_extra_state()["bank"].clone()
    assert queue.shape == (8, 3)
    assert queue.norm(dim=1).tolist() == pytest.approx([1.0] * 8)
    for _ in range(5):
        views = torch.randn(4, 2, 3, generator=rng)
        q, k = (torch.nn.functional.normalize(view, dim=1) for view in views.unbind(1))
        losses = []
        for i in range(4):
            scores = [float(q[i] @ k[i])] + [float(q[i] @ old) for old in queue]
            weights = [math.exp(score / 0.2) for score in scores]
            losses.append(-math.log(weights[0] / sum(weights)))
        assert float(learner(views).detach()) == pytest.approx(sum(losses) / 4, abs=1e-5)
        queue = torch.cat([queue[4:], k])
    assert sorted(learner.get_extra_state()["bank"].sum(1).tolist()) == pytest.approx(sorted(queue.sum(1).tolist()))


def test_key_weights_follow_before_keys_are_made_and_get_no_gradient() -> None:
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    learner = MoCo(dimension=2, momentum=0.75, batch_size=4).learner(encoder, 2, 40, fresh=True)
    with torch.no_grad():
        encoder[1].weight.add_(1.0)
    before = learner.key[0][1].weight.clone()
    learner(torch.randn(4, 2, 1, 2, 2)).backward()
    torch.testing.assert_close(learner.key[0][1].weight, 0.75 * before + 0.25 * encoder[1].weight)
    assert all(parameter.grad is None for parameter in learner.key.parameters())
    assert all(parameter.grad is not None for parameter in learner.query.parameters())


def test_batch_normalisation_sees_images_in_parts_and_keys_in_another_order() -> None:
    seen: list[int] = []

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x: Tensor) -> Tensor:
            seen.append(len(x))
            out: Tensor = self.norm(x.flatten(1))
            return out

    learner = MoCo(batch_size=64).learner(Counting(), 3, 640, fresh=True)
    torch.manual_seed(0)
    x = torch.randn(64, 3, 1, 1)
    learner(torch.stack([x, x], dim=1))
    assert seen == [32] * 4
    in_order = torch.cat([learner.key(part) for part in x.chunk(2)])
    keys = learner._keys(x)
    assert not torch.allclose(keys, in_order, atol=1e-3)  # the statistics are of other parts
    assert float(torch.nn.functional.cosine_similarity(keys, in_order).mean()) > 0.9  # the images are in their places


@pytest.mark.parametrize(
    ("n_rows", "batch", "queue", "length"),
    [(1_281_167, 256, 65536, 65536), (10_000, 256, 65536, 768), (100, 256, 65536, 100), (50_000, 64, 1000, 960)],
)
def test_the_queue_is_whole_batches_and_at_most_a_tenth(n_rows: int, batch: int, queue: int, length: int) -> None:
    assert MoCo(batch_size=batch, queue=queue).queue_length(n_rows) == length


# --- MAE ---


@pytest.mark.parametrize(("normalise", "error"), [(False, 3.0), (True, 0.75)])
def test_the_error_of_patches_by_hand(normalise: bool, error: float) -> None:
    target, predicted = torch.tensor([[[1.0, 3.0], [2.0, 2.0]]]), torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    assert float(patch_error(predicted, target, normalise=normalise)) == pytest.approx(error, abs=1e-5)


@pytest.fixture(params=["torchvision", "timm"])
def painter(request: pytest.FixtureRequest) -> Painter:
    torch.manual_seed(0)
    encoder = (
        transformer() if request.param == "torchvision" else encoders.build("timm:test_vit", (3, 64, 64), 2).encoder
    )
    return Painter(encoder, MAE(decoder_width=16, decoder_depth=1, decoder_heads=2, normalise=False), fresh=True)


def views_for(painter: Painter, batch: int = 3) -> Tensor:
    side = painter.patch * math.isqrt(painter.n_patches)
    return torch.randn(batch, 1, 3, side, side, generator=Generator().manual_seed(5))


def test_the_encoder_sees_a_quarter_of_the_patches_and_only_the_others_count(painter: Painter) -> None:
    views, tokens, predicted = views_for(painter), [], []
    painter.embed.register_forward_pre_hook(lambda _, given: tokens.append(given[0].shape[1]))
    painter.predict.register_forward_hook(lambda _, __, out: predicted.append(out))
    torch.manual_seed(3)
    loss = painter(views)
    assert tokens == [painter.n_prefix + painter.n_patches // 4]
    torch.manual_seed(3)
    noise_BP = torch.rand(3, painter.n_patches)
    total, count, side = 0.0, 0, painter.patch
    for i, image in enumerate(painter.normalise(views[:, 0])):
        order = noise_BP[i].argsort().tolist()
        for place, patch in enumerate(order[painter.n_patches // 4 :]):
            row, column = divmod(patch, math.isqrt(painter.n_patches))
            pixels = image[:, row * side : (row + 1) * side, column * side : (column + 1) * side]
            wanted = pixels.permute(1, 2, 0).flatten()  # row by row, colours of a pixel together
            total += float(((predicted[0][i, place].detach() - wanted) ** 2).mean())
            count += 1
    assert float(loss.detach()) == pytest.approx(total / count, rel=1e-5)


def test_hidden_pixels_do_not_reach_the_encoder(painter: Painter) -> None:
    views, seen = views_for(painter), []
    painter.embed.register_forward_hook(lambda _, __, out: seen.append(out.detach()))
    torch.manual_seed(3)
    painter(views)
    torch.manual_seed(3)
    kept = torch.rand(3, painter.n_patches).argsort(1)[:, : painter.n_patches // 4]
    hidden = views.clone()
    grid, side = math.isqrt(painter.n_patches), painter.patch
    for i in range(3):
        for patch in set(range(painter.n_patches)) - set(kept[i].tolist()):
            row, column = divmod(patch, grid)
            hidden[i, 0, :, row * side : (row + 1) * side, column * side : (column + 1) * side] = 9.0
    torch.manual_seed(3)
    painter(hidden)
    torch.testing.assert_close(seen[0], seen[1])


def test_weights_that_are_given_are_kept_and_random_ones_begin_as_published() -> None:
    for fresh in (True, False):
        encoder = transformer()
        before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
        Painter(encoder, MAE(), fresh=fresh)
        same = [torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items()]
        assert all(same) != fresh


@pytest.mark.parametrize(("name", "kind"), [("small_cnn", "Sequential"), ("resnet18", "ResNet")])
def test_mae_refuses_what_is_no_transformer(name: str, kind: str) -> None:
    with torch.device("meta"):
        model = encoders.build(name, (3, 32, 32), 2)
    message = rf"mae is for vision transformers \(vit_b_16, timm:vit_…\), not for the encoder {kind}; barlowtwins and"
    with pytest.raises(BadInput, match=message):
        check(MAE(), model, pictures(4, shape=(3, 32, 32)).inputs)


def test_mae_refuses_images_of_too_few_patches() -> None:
    model = Model.linear(transformer(patch=SIDE // 2), 16, 2)
    check(MAE(), model, pictures(4).inputs)
    model = Model.linear(transformer(patch=SIDE), 16, 2)
    with pytest.raises(BadInput, match=r"cannot hide a share of 0.75 of 1 patches"):
        check(MAE(), model, pictures(4).inputs)


def test_both_libraries_tell_the_same_of_their_transformers() -> None:
    with torch.device("meta"):
        ours = encoders.build("vit_b_16", (3, 64, 64), 2).encoder
        theirs = encoders.build("timm:vit_base_patch16_224", (3, 64, 64), 2).encoder
    assert isinstance(ours, Published)
    assert [mae.patches(e.body) for e in (ours, theirs)] == [16, 16]
    assert [mae.patch_side(e.body) for e in (ours, theirs)] == [16, 16]


# --- all ---


def test_objectives_are_found_by_name_and_options_are_checked() -> None:
    assert pretraining.names() == ("barlowtwins", "mae", "moco")
    made = pretraining.chosen(Settings(pretrain="moco", pretrain_options=("lr=0.1", "queue=4096")))
    assert made == MoCo(lr=0.1, queue=4096)
    for name in pretraining.names():
        assert pretraining.make(name) == pretraining.find(name)()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("barlowtwin", (), "unknown pretrain 'barlowtwin'; did you mean 'barlowtwins'"),
        ("_base", (), "unknown pretrain '_base'"),
        ("moco", ("temprature=1",), "did you mean 'temperature'"),
        ("moco", ("lr",), "pretrain_options takes key=value, got 'lr'"),
        ("moco", ("lr=0",), "lr of pretraining must be positive"),
        ("moco", ("momentum=1.5",), r"momentum of moco must lie in \[0, 1\], got 1.5"),
        ("moco", ("temperature=0",), "temperature of moco must be positive, got 0.0"),
        ("moco", ("queue=0",), "must be at least 1, got 128 and 0"),
        ("barlowtwins", ("batch_size=1",), "batch_size of pretraining must be at least 2, got 1"),
        ("barlowtwins", ("warm_up=1",), r"warm_up of pretraining must lie in \[0, 1\), got 1.0"),
        ("barlowtwins", ("dimension=1",), "dimension of barlowtwins must be at least 2"),
        ("mae", ("masked=1",), "strictly between 0 and 1, got 1.0"),
        ("mae", ("decoder_width=20", "decoder_heads=3"), "a multiple of 4 and of decoder_heads, got 20 with 3 heads"),
        ("mae", ("decoder_depth=0",), "must be at least 1"),
    ],
)
def test_wrong_names_and_options_are_refused(name: str, options: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        pretraining.chosen(Settings(pretrain=name, pretrain_options=options))


def test_inputs_and_encoders_that_cannot_be_pretrained_are_refused() -> None:
    images, objective = pictures(4), BarlowTwins()
    model = encoders.build("small_cnn", (3, SIDE, SIDE), 2)
    with pytest.raises(BadInput, match=r"BarlowTwins is for square images of 1 or 3 channels .* rows of shape \(5,\)"):
        check(objective, encoders.build("mlp", (5,), 2), pictures(4, shape=(5,)).inputs)
    with pytest.raises(BadInput, match=r"rows of shape \(3, 8, 9\)"):
        check(objective, model, pictures(4, shape=(3, 8, 9)).inputs)
    with pytest.raises(BadInput, match="at least 2 training images, got 1"):
        check(objective, model, pictures(1).inputs)
    with pytest.raises(BadInput, match="an encoder with weights to train; this one has none"):
        check(objective, Model.linear(nn.Flatten(), 3 * SIDE**2, 2), images.inputs)


@pytest.mark.parametrize("name", pretraining.names())
def test_a_missing_library_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenhand.pretraining._base.find_spec", lambda library: None)
    with pytest.raises(BadInput, match=r"needs the library lightly: install the extra evenhand\[pretrain\]"):
        check(pretraining.make(name), encoders.build("small_cnn", (3, SIDE, SIDE), 2), pictures(4).inputs)


def test_the_rate_rises_in_a_line_and_falls_by_a_cosine() -> None:
    rates = [rate(step, 20, 0.25) for step in range(20)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5:] == pytest.approx([0.5 + 0.5 * math.cos(math.pi * k / 15) for k in range(15)])
    assert rate(20, 20, 0.25) == pytest.approx(0)
    assert rate(0, 1, 0.0) == 1


def test_matrices_decay_and_vectors_only_in_moco() -> None:
    for objective, decays in ((BarlowTwins(), {2: 1e-6, 1: 0.0}), (MoCo(), {2: 1e-4, 1: 1e-4})):
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        groups = objective.optimizer(objective.learner(encoder, 2, 600, fresh=True)).param_groups
        found = {(p.ndim, group["weight_decay"]) for group in groups for p in group["params"]}
        assert found == set(decays.items())
    assert {group["lr"] for group in MoCo(lr=0.1, batch_size=64).optimizer(nn.Linear(2, 2)).param_groups} == {0.025}
