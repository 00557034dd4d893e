"""Somebody's own data: read as it was written, looked at, split by groups, bounded by what was observed, kept with its story."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal

from vae_course.data.looking import look, overlap
from vae_course.data.own import Pictures, Table, array, fingerprint, held_out_groups, pictures_in, table_in
from vae_course.data.stand_ins import pump_readings, with_gaps, write_pictures, write_table
from vae_course.distributions.families import diagonal_normal
from vae_course.distributions.observed import Observed
from vae_course.evaluation.evidence import log_evidence
from vae_course.exact.gaps import Mixture, fit_mixture, fit_normal, given_observed, mixture_given
from vae_course.models.vae import VAE
from vae_course.networks.multilayer import mlp
from vae_course.objectives.bounds import elbo
from vae_course.training.provenance import keep_model, take_model

NAN = float("nan")


def message(kind: type[Exception], call: Callable[[], object]) -> str:
    """What a refusal of this kind says, in one line."""
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def save(path: Path, pixels: object, mode: str | None = None) -> None:
    image = Image.fromarray(np.asarray(pixels))
    (image if mode is None else image.convert(mode)).save(path)


# pictures


def test_pictures_are_read_as_they_were_written(tmp_path: Path) -> None:
    pixels = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4) * 10
    (tmp_path / "b").mkdir()
    save(tmp_path / "first.png", pixels[0])
    save(tmp_path / "b" / "second.png", pixels[1])
    (tmp_path / "notes.txt").write_text("no picture")
    found = pictures_in(tmp_path)
    assert found.shape == (1, 3, 4)
    assert found.levels == 256
    by_group = dict(zip([found.groups[int(g)] for g in found.group], found.images, strict=True))
    assert torch.equal(by_group[""], torch.from_numpy(pixels[0].astype(np.float32))[None] / 255)
    assert torch.equal(by_group["b"], torch.from_numpy(pixels[1].astype(np.float32))[None] / 255)
    assert len(found[:1]) == 1


def test_colours_palettes_transparency_and_16_bits_are_resolved(tmp_path: Path) -> None:
    colours = np.zeros((5, 5, 3), dtype=np.uint8)
    colours[..., 1] = 255
    for name, mode in {"rgb": None, "rgba": "RGBA", "palette": "P"}.items():
        folder = tmp_path / name
        folder.mkdir()
        save(folder / "one.png", colours, mode)
        found = pictures_in(folder)
        assert found.images.shape == (1, 3, 5, 5)
        assert torch.equal(found.images[0].mean((1, 2)), torch.tensor([0.0, 1.0, 0.0]))
    (tmp_path / "deep").mkdir()
    save(tmp_path / "deep" / "one.png", np.array([[0, 65_535], [32_768, 1]], dtype=np.uint16))
    deep = pictures_in(tmp_path / "deep")
    assert deep.levels == 65_536
    assert torch.allclose(deep.images[0, 0], torch.tensor([[0.0, 1.0], [32_768 / 65_535, 1 / 65_535]]))


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path) -> None:
    assert "There is no folder" in message(FileNotFoundError, lambda: pictures_in(tmp_path / "none"))
    assert "There are no pictures" in message(FileNotFoundError, lambda: pictures_in(tmp_path))
    save(tmp_path / "a.png", np.zeros((3, 4), np.uint8))
    save(tmp_path / "b.png", np.zeros((3, 5), np.uint8))
    said = message(ValueError, lambda: pictures_in(tmp_path))
    assert "a.png is 4 × 3, grey, of 256 levels and b.png is 5 × 3" in said
    save(tmp_path / "b.png", np.zeros((3, 4, 3), np.uint8))
    assert "in colour" in message(ValueError, lambda: pictures_in(tmp_path))
    (tmp_path / "b.png").write_bytes(b"not a picture")
    assert "b.png cannot be read" in message(ValueError, lambda: pictures_in(tmp_path))
    Image.new("CMYK", (4, 3)).save(tmp_path / "b.tif")
    (tmp_path / "b.png").unlink()
    assert "pixels of the kind 'CMYK'" in message(ValueError, lambda: pictures_in(tmp_path))
    said = message(ValueError, lambda: Pictures("x", torch.zeros(2, 1, 3, 3), torch.zeros(3), ("",), 256))
    assert "2 pictures came with groups [3]" in said


# tables


def test_a_table_is_read_with_its_gaps(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('\ufeffflow, "pressure, bar" ,n\n1.5,,3\n\nNA, -2e-1 ,?\n-999,1,NaN\n', encoding="utf-8")
    found = table_in(path)
    assert found.columns == ("flow", "pressure, bar", "n")
    expected = torch.tensor([[1.5, NAN, 3.0], [NAN, -0.2, NAN], [-999.0, 1.0, NAN]])
    assert torch.equal(found.values.nan_to_num(7), expected.nan_to_num(7))
    assert torch.equal(found.observed, ~expected.isnan())
    assert bool(table_in(path, gaps=["-999"]).values[2, 0].isnan())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n", "has 1 lines"),
        ("1,2\n3,4\n", "its first line must name the columns"),
        ("a,a\n1,2\n", "two columns named 'a'"),
        ("a,b\n1,2\n1,2,3\n", "line 3 has 3 fields for 2 columns"),
        ("a,b\n1,2\n\n1,open\n", "line 4: 'b' holds the text 'open'"),
        ("a,b\n1,open\n", "line 2: 'b' holds the text 'open'"),
        ("a,b\n1,inf\n", "line 2: 'b' holds the text 'inf'"),
        ("a,b\n1,\n2,\n", "no reading at all in 'b'"),
        ("a,b\n1,2\n,\n", "1 rows without a reading"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    assert said in message(ValueError, lambda: table_in(path))


def test_a_missing_file_and_odd_arrays_are_refused(tmp_path: Path) -> None:
    assert "There is no file" in message(FileNotFoundError, lambda: table_in(tmp_path / "none.csv"))
    assert "a table is [rows, columns]" in message(ValueError, lambda: array([1.0, 2.0]))
    assert "1 infinite numbers" in message(ValueError, lambda: array([[1.0, np.inf]]))
    assert "a table is floating point" in message(ValueError, lambda: Table("t", torch.zeros(2, 3), ("a",)))
    assert array([[1, 2], [3, 4]]).columns == ("column 0", "column 1")


# splits and fingerprints


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_together_and_the_share_is_reached(seed: int) -> None:
    group = torch.randint(20, (200,), generator=torch.Generator().manual_seed(seed)) * 3 + 1
    held = held_out_groups(group, 0.3, seed)
    assert not set(group[held].tolist()) & set(group[~held].tolist())
    assert int(held.sum()) >= 60
    largest = int(group.bincount().max())
    assert int(held.sum()) < 60 + largest
    assert torch.equal(held, held_out_groups(group, 0.3, seed))


def test_one_group_always_stays_to_train_on() -> None:
    assert held_out_groups(torch.tensor([0, 1, 1]), 0.99, 0).sum() in (1, 2)
    assert "two groups" in message(ValueError, lambda: held_out_groups(torch.zeros(5), 0.5, 0))
    assert "share of 1.0" in message(ValueError, lambda: held_out_groups(torch.arange(5), 1.0, 0))


def test_a_fingerprint_tells_values_shapes_and_types_apart() -> None:
    x = torch.arange(6.0)
    assert fingerprint(x) == fingerprint(x.clone()) == fingerprint(torch.stack([x, x])[0])
    others = [x + 1e-6, x.reshape(2, 3), x.double(), x.flip(0)]
    assert len({fingerprint(y) for y in [x, *others]}) == 5
    assert fingerprint(x, x) != fingerprint(x)


# stand-ins


def test_stand_ins_are_the_same_at_every_call_and_overwrite_nothing(tmp_path: Path) -> None:
    first = pictures_in(write_pictures(tmp_path / "a", things=3, each=4))
    again = pictures_in(write_pictures(tmp_path / "b", things=3, each=4))
    assert torch.equal(first.images, again.images)
    assert first.group.bincount().tolist() == [4, 4, 4]
    assert "holds files already" in message(FileExistsError, lambda: write_pictures(tmp_path / "a", 3, 4))
    assert "97 things" in message(ValueError, lambda: write_pictures(tmp_path / "c", things=97))
    readings, names = pump_readings(50)
    gaps = with_gaps(readings, 0.9)
    assert not bool(gaps.isnan().all(1).any())
    assert torch.equal(gaps.isnan(), with_gaps(readings, 0.9).isnan())
    found = table_in(write_table(tmp_path / "t.csv", gaps, names))
    assert found.columns == names
    assert float((found.values - gaps).nan_to_num().abs().max()) <= 0.5001e-4
    with pytest.raises(FileExistsError):
        write_table(tmp_path / "t.csv", gaps, names)
    assert "A share of 1" in message(ValueError, lambda: with_gaps(readings, 1.0))


def test_the_share_of_gaps_is_the_one_asked_for() -> None:
    gaps = with_gaps(torch.zeros(4_000, 16), 0.2).isnan()
    assert abs(float(gaps.float().mean()) - 0.2) < 5 * (0.16 / gaps.numel()) ** 0.5


# looking


def test_range_levels_step_and_bits_are_seen() -> None:
    generator = torch.Generator().manual_seed(0)
    grey = torch.randint(16, (50, 1, 4, 4), generator=generator) / 15
    seen = look(3 * grey - 1)
    (column,) = seen.columns
    assert (column.low, column.high) == pytest.approx((-1, 2))
    assert (column.levels, column.bits, column.on_a_grid) == (16, 4, True)
    assert column.step == pytest.approx(0.2, rel=1e-5)
    assert seen.pictures
    smooth = look(torch.rand(50, 1, 4, 4, generator=generator)).columns[0]
    assert (smooth.step, smooth.bits, smooth.on_a_grid) == (None, None, False)


def test_gaps_constants_repetitions_and_the_commonest_value_are_seen() -> None:
    table = torch.tensor([[1.0, NAN, 5.0], [2.0, 3.0, 5.0], [1.0, NAN, 5.0], [0.0, 3.0, 5.0], [-0.0, 3.0, 5.0]])
    seen = look(table, "t", ("a", "b", "c"))
    assert (seen.examples, seen.numbers, seen.gaps, seen.constant, seen.repeated) == (5, 15, 2, 2, 2)
    a, b, c = seen.columns
    assert (a.commonest, a.share, a.next_share) == (0.0, 0.4, 0.4) or a.commonest == 1.0
    assert (b.present, b.levels, b.step) == (3, 1, None)
    assert (c.low, c.high, c.share) == (5, 5, 1)
    assert [row["gaps"] for row in seen.table()] == [0.0, 0.4, 0.0]
    assert look(torch.full((3, 2), NAN)).columns[0].present == 0


def test_odd_data_are_refused() -> None:
    assert "2 infinite numbers" in message(ValueError, lambda: look(torch.tensor([[torch.inf, -torch.inf]])))
    assert "3 columns and came with 1 names" in message(ValueError, lambda: look(torch.zeros(2, 3), columns=("a",)))
    assert "no examples" in message(ValueError, lambda: look(torch.zeros(0, 3)))
    assert "both parts need the same columns" in message(
        ValueError, lambda: overlap(torch.zeros(3, 2), torch.zeros(3, 4))
    )


def test_exact_and_near_copies_are_told_from_honest_examples() -> None:
    generator = torch.Generator().manual_seed(0)
    train, honest = torch.randn(300, 8, generator=generator), torch.randn(40, 8, generator=generator)
    near = train[:20] + 1e-3 * torch.randn(20, 8, generator=generator)
    found = overlap(train, torch.cat([honest, train[50:60], near]))
    assert (found.held_out, found.exact, found.near) == (70, 10, 20)
    assert torch.equal(found.nearest[40:50], torch.arange(50, 60))
    assert torch.equal(found.nearest[50:], torch.arange(20))
    assert float(found.distance[40:50].max()) < 1e-6
    by_hand = ((train[:, None] - honest) / train.std(0, correction=0)).square().mean(-1).sqrt()
    assert torch.allclose(found.distance[:40].float(), by_hand.amin(0), atol=1e-5)


def test_units_do_not_matter_and_gaps_are_left_out_of_a_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    train, held = with_gaps(torch.randn(100, 6, generator=generator), 0.3), torch.randn(10, 6, generator=generator)
    units = torch.tensor([1.0, 1e5, 1e-3, 7.0, 1.0, 1.0])
    one, other = overlap(train, held), overlap(train * units, held * units)
    assert torch.allclose(one.distance, other.distance, rtol=1e-4)
    assert torch.equal(one.nearest, other.nearest)
    with_hole = train[:5].clone()
    with_hole[:, 0] = NAN
    assert overlap(train, with_hole).near + overlap(train, with_hole).exact == 5


# a likelihood of what was observed


def random_rows(n: int = 7, d: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    gaps = torch.rand(n, d, generator=generator) < 0.4
    gaps[0], gaps[1] = False, True
    mean = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return torch.where(gaps, torch.nan, x), gaps, mean


def test_gaps_count_nothing_and_send_no_nan_back() -> None:
    x, gaps, mean = random_rows()
    mean.requires_grad_()
    std = torch.full_like(mean, 0.7).requires_grad_()
    p = Observed(diagonal_normal(mean, std))
    log_p = p.log_prob(x)
    by_hand = torch.where(gaps, 0.0, Normal(mean.detach(), 0.7).log_prob(x.nan_to_num(0.0))).sum(1)
    assert torch.allclose(log_p, by_hand)
    assert float(log_p[1].detach()) == 0
    log_p.sum().backward()
    for parameter in (mean, std):
        assert parameter.grad is not None
        assert bool(parameter.grad.isfinite().all())
        assert not bool(parameter.grad[gaps].any())


def test_without_gaps_it_is_the_whole() -> None:
    whole = diagonal_normal(torch.randn(4, 3), 0.5)
    p, x = Observed(whole), torch.randn(4, 3)
    assert torch.allclose(p.log_prob(x), whole.log_prob(x))
    assert (p.batch_shape, p.event_shape) == ((4,), (3,))
    assert torch.equal(p.mean, whole.mean)
    assert torch.equal(p.variance, whole.variance)
    assert p.has_rsample
    assert p.rsample((2,)).shape == p.sample((2,)).shape == (2, 4, 3)
    assert p.expand((6, 4)).log_prob(x).shape == (6, 4)
    pixels = Observed(Independent(Bernoulli(logits=torch.zeros(2, 1, 3, 3)), 3))
    picture = torch.ones(2, 1, 3, 3)
    picture[0, 0, 0] = NAN
    assert torch.allclose(pixels.log_prob(picture), -torch.tensor([6.0, 9.0]) * np.log(2).item())


def test_dependent_coordinates_are_refused() -> None:
    said = message(TypeError, lambda: Observed(MultivariateNormal(torch.zeros(2), torch.eye(2))))  # type: ignore[arg-type]
    assert "only where the coordinates are independent" in said


class SeesGaps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = mlp(10, 8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(torch.cat([x.nan_to_num(0.0), (~x.isnan()).to(x.dtype)], -1))  # type: ignore[no-any-return]


def small_vae() -> VAE:
    torch.manual_seed(0)
    return VAE(SeesGaps(), mlp(2, 8, 5), 2, lambda mean: Observed(diagonal_normal(mean, 0.5)))


def test_bounds_and_estimates_take_a_model_of_what_was_observed() -> None:
    model, x = small_vae(), random_rows(300)[0].float()
    bound = elbo(model, x)
    assert bound.value.shape == (300,)
    bound.value.mean().backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
    whole = log_evidence(model, x, 50)
    torch.manual_seed(1)
    assert whole.value.isfinite().all()
    mean_bound = torch.stack([elbo(model, x).value.detach() for _ in range(50)]).mean(0)
    assert float((whole.value - mean_bound).mean()) > 0


# the exact partner


def test_a_normal_given_what_was_observed_is_exact() -> None:
    x, gaps, mean = random_rows()
    factor = torch.randn(5, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    covariance, centre = factor @ factor.T + torch.eye(5), mean[0]
    log_p, filled, left = given_observed(x, centre, covariance)
    for i in range(len(x)):
        o, m = ~gaps[i], gaps[i]
        if bool(o.any()):
            expected = MultivariateNormal(centre[o], covariance[o][:, o]).log_prob(x[i][o])
            assert log_p[i] == pytest.approx(float(expected), abs=1e-9)
        else:
            assert log_p[i] == 0
        gain = torch.linalg.solve(covariance[o][:, o], covariance[o][:, m])
        assert torch.allclose(filled[i][o], x[i][o])
        assert torch.allclose(filled[i][m], centre[m] + (x[i][o] - centre[o]) @ gain)
        assert torch.allclose(left[i][m][:, m], covariance[m][:, m] - covariance[m][:, o] @ gain)
        assert float(left[i][o].abs().sum()) < 1e-9
    assert "for a mean [4]" in message(ValueError, lambda: given_observed(x, centre[:4], covariance))


def test_expectation_maximisation_climbs_to_the_moments_where_nothing_is_missing() -> None:
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) @ torch.tensor(
        [[1.0, 0.5, 0.0], [0, 1.0, 2.0], [0, 0, 1.0]]
    )
    whole = fit_normal(x, steps=2)
    assert torch.allclose(whole.mean, x.double().mean(0), atol=1e-6)
    assert torch.allclose(whole.covariance, torch.cov(x.double().T, correction=0), atol=1e-6)
    fitted = fit_normal(with_gaps(x, 0.4), steps=40)
    assert min(b - a for a, b in zip(fitted.climb, fitted.climb[1:], strict=False)) > -1e-10
    assert torch.allclose(fitted.covariance, whole.covariance, atol=1.0)
    assert "at least 1" in message(ValueError, lambda: fit_normal(x, steps=0))


def two_clouds() -> Tensor:
    """[400, 3] with gaps: around −2 and around 2, in each coordinate."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 3, generator=generator) + torch.tensor([-2.0, 2.0]).repeat(200)[:, None]
    return with_gaps(x, 0.3)


def test_a_mixture_climbs_and_finds_its_parts() -> None:
    x = two_clouds()
    fitted = fit_mixture(x, 2, 40, torch.Generator().manual_seed(0))
    assert len(fitted.climb) == 40
    assert min(b - a for a, b in zip(fitted.climb, fitted.climb[1:], strict=False)) > -1e-10
    assert float(fitted.weight.sum()) == pytest.approx(1)
    low, high = fitted.mean[fitted.mean[:, 0].argsort()]
    assert torch.allclose(low, torch.full_like(low, -2.0), atol=0.4)
    assert torch.allclose(high, torch.full_like(high, 2.0), atol=0.4)
    again = fit_mixture(x, 2, 40, torch.Generator().manual_seed(0))
    assert torch.equal(fitted.mean, again.mean)


def test_one_component_is_the_normal() -> None:
    x = two_clouds()
    normal, fitted = fit_normal(x, steps=200), fit_mixture(x, 1, 200, torch.Generator().manual_seed(0))
    assert torch.allclose(fitted.mean[0], normal.mean, atol=1e-6)
    assert torch.allclose(fitted.covariance[0], normal.covariance, atol=1e-6)
    log_p, filled = mixture_given(x, fitted)
    of_normal = given_observed(x, fitted.mean[0], fitted.covariance[0])
    assert torch.allclose(log_p, of_normal.log_p)
    assert torch.allclose(filled, of_normal.filled)


def test_a_mixture_given_what_was_observed_is_exact() -> None:
    x, gaps, mean = random_rows()
    x, gaps = x[2:], gaps[2:]
    covariance = torch.stack([torch.eye(5), 0.5 * torch.eye(5) + 0.3]).double()
    mixture = Mixture(torch.tensor([0.3, 0.7]).double(), mean[:2], covariance, [])
    log_p, filled = mixture_given(x, mixture)
    for i in range(len(x)):
        o = ~gaps[i]
        joint = torch.stack(
            [MultivariateNormal(mean[k][o], covariance[k][o][:, o]).log_prob(x[i][o]) for k in range(2)]
        )
        joint = joint + mixture.weight.log()
        assert log_p[i] == pytest.approx(float(joint.logsumexp(0)), abs=1e-9)
        expected = sum(joint.softmax(0)[k] * given_observed(x, mean[k], covariance[k]).filled[i] for k in range(2))
        assert torch.allclose(filled[i], expected)  # type: ignore[arg-type]
        assert torch.allclose(filled[i][o], x[i][o])


@pytest.mark.parametrize(("components", "steps"), [(0, 5), (401, 5), (2, 0)])
def test_an_impossible_mixture_is_refused(components: int, steps: int) -> None:
    said = message(ValueError, lambda: fit_mixture(two_clouds(), components, steps, torch.Generator()))
    assert f"{components} components and {steps} steps with 400 rows" in said


# provenance


def test_a_model_comes_back_with_its_story_and_nothing_is_overwritten(tmp_path: Path) -> None:
    model, data = small_vae(), fingerprint(torch.arange(3.0))
    page = keep_model(model, tmp_path / "pump", data, seed=3, log_p=-1.5)
    story = json.loads(page.read_text())
    assert (story["seed"], story["log_p"], story["data"]) == (3, -1.5, data)
    assert {"python", "torch", "vae_course"} <= set(story["versions"])
    copy = small_vae()
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.add_(1.0)
    assert take_model(copy, tmp_path / "pump.json", data) == story
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), copy.parameters(), strict=True))
    assert "is there already" in message(FileExistsError, lambda: keep_model(model, tmp_path / "pump", data))
    assert "other data" in message(ValueError, lambda: take_model(copy, tmp_path / "pump", "0" * 64))
    weights = tmp_path / "pump.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    before = [p.clone() for p in copy.parameters()]
    assert "its SHA-256 differs" in message(ValueError, lambda: take_model(copy, tmp_path / "pump"))
    assert all(torch.equal(a, b) for a, b in zip(before, copy.parameters(), strict=True))
    page.unlink()
    assert "nobody knows" in message(FileNotFoundError, lambda: take_model(copy, tmp_path / "pump"))
