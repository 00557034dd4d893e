"""Time training and log p(x), each beside the plain way: `make bench`. Nothing here is asserted.

A 784-400-20 VAE, batch 128, 60,000 digits. (a), (b) and (c) see digits binarized beforehand; all of them in one run,
in turn, several rounds, medians.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset

from vae_course.data.batches import Batches
from vae_course.data.images import binarize, data_folder, from_torchvision, mnist_5k
from vae_course.estimators import log_evidence
from vae_course.models.vae import mlp_vae
from vae_course.objectives import elbo, log_weights
from vae_course.training import Player, fit

ROUNDS, BATCH, HIDDEN, LATENT = 5, 128, 400, 20


def sixty_thousand() -> tuple[str, Tensor]:
    """MNIST's training digits if they are on disk; otherwise MNIST-5k, twelve times over."""
    try:
        found = from_torchvision("MNIST", train=True)
        return "MNIST", found.images
    except FileNotFoundError:
        print(f"MNIST is not in {data_folder()}: using MNIST-5k twelve times over (set VAE_COURSE_DATA for MNIST).")
        return "12 × MNIST-5k", mnist_5k().images.repeat(12, 1, 1, 1)


def fused_adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)


def with_fit(x: Tensor) -> Callable[[], object]:
    model = mlp_vae((1, 28, 28), (HIDDEN,), LATENT)
    player = Player(lambda x: -elbo(model, x).value, fused_adam(model))
    batches = Batches(x, size=BATCH)
    return lambda: fit([player], batches, epochs=1)


def by_hand(x: Tensor) -> Callable[[], object]:
    model = mlp_vae((1, 28, 28), (HIDDEN,), LATENT)
    adam, flat = fused_adam(model), x.flatten(1)
    encoder, decoder = model.encoder.network, model.decoder.network

    def epoch() -> None:
        for index in torch.randperm(len(flat)).split(BATCH):
            batch = flat[index]
            mean, log_std = encoder(batch).chunk(2, -1)  # type: ignore[operator]
            std = log_std.exp()
            logits = decoder(mean + std * torch.randn_like(mean))  # type: ignore[operator]
            kl = (0.5 * (mean.square() + std.square() - 1) - log_std).sum()
            loss = (binary_cross_entropy_with_logits(logits, batch, reduction="sum") + kl) / len(batch)
            adam.zero_grad()
            loss.backward()
            adam.step()

    return epoch


class AsTutorialsDo(Dataset[tuple[Tensor, int]]):
    """torchvision's MNIST with `ToTensor`: a PIL image made and converted again for every digit."""

    def __init__(self, x: Tensor) -> None:
        from torchvision.transforms import ToTensor

        self.data, self.transform = (x[:, 0] * 255).byte(), ToTensor()

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.data[index].numpy())), 0


def as_tutorials_do(x: Tensor) -> Callable[[], object]:
    model = mlp_vae((1, 28, 28), (HIDDEN,), LATENT)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    loader = DataLoader(AsTutorialsDo(x), batch_size=BATCH, shuffle=True)

    def epoch() -> None:
        running = 0.0
        for batch, _ in loader:
            loss = -elbo(model, batch).value.mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            running += loss.item()

    return epoch


def matrix_products(x: Tensor) -> Callable[[], object]:
    """The products of the four weight matrices with activations, forward and backward, and nothing else."""
    sizes = [(784, HIDDEN), (HIDDEN, 2 * LATENT), (LATENT, HIDDEN), (HIDDEN, 784)]
    weights = [torch.randn(i, o) for i, o in sizes]
    inputs = [torch.randn(BATCH, i) for i, _ in sizes]
    outputs = [torch.randn(BATCH, o) for _, o in sizes]

    def epoch() -> None:
        for _ in range(-(-len(x) // BATCH)):
            for weight, given, out in zip(weights, inputs, outputs, strict=True):
                _ = given @ weight  # forward
                _ = given.T @ out  # gradient by the weight
                if given is not inputs[0]:
                    _ = out @ weight.T  # gradient by the input

    return epoch


def log_p_in_chunks(x: Tensor, samples: int) -> Callable[[], object]:
    model = mlp_vae((1, 28, 28), (HIDDEN,), LATENT)
    return lambda: log_evidence(model, x, samples)


def log_p_one_by_one(x: Tensor, samples: int) -> Callable[[], object]:
    model = mlp_vae((1, 28, 28), (HIDDEN,), LATENT)

    def loop() -> None:
        with torch.no_grad():
            for _ in range(samples):
                log_weights(model, x, 1)

    return loop


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def medians(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Run all in turn, `rounds` times after one warm-up, and take the median of each."""
    for work in works.values():
        work()
    times = [{name: seconds(work) for name, work in works.items()} for _ in range(rounds)]
    return {name: statistics.median(t[name] for t in times) for name in works}


def main() -> None:
    torch.manual_seed(0)
    name, grey = sixty_thousand()
    x = binarize(grey, torch.Generator().manual_seed(0))
    print(f"{name}, {len(x):,} digits, {torch.get_num_threads()} threads, torch {torch.__version__}")
    measured = medians(
        {
            "(a) fit as shipped": with_fit(x),
            "(b) bare loop, same fused optimizer": by_hand(x),
            "(c) DataLoader, ToTensor, plain Adam": as_tutorials_do(x),
            "(d) matrix products alone": matrix_products(x),
        },
        ROUNDS,
    )
    a = measured["(a) fit as shipped"]
    print(f"\n{'an epoch of 60,000 digits':<40}{'median':>9}{'(a) / this':>12}")
    for label, median in measured.items():
        print(f"{label:<40}{median:>7.2f} s{a / median:>12.2f}")

    few, samples = x[:200], 500
    evidence = {
        "chunks of examples": log_p_in_chunks(few, samples),
        "loop over samples": log_p_one_by_one(few, samples),
    }
    print(f"\nlog p(x) of {len(few)} digits, {samples} samples each")
    for label, median in medians(evidence, 3).items():
        print(f"{label:<40}{median:>7.2f} s")


if __name__ == "__main__":
    main()
