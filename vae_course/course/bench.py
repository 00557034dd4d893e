"""Time log p(x), training and convolutions, each beside the plain way. Nothing here is asserted.

log p(x): a 784-400-20 VAE, 1,000 digits with 1,000 samples each. Training: the same VAE, batch 128, 60,000 digits;
(a), (b) and (c) see digits binarized beforehand. Convolutions: a step of the VAEs of the lectures in both layouts of
memory. What is compared runs in turn, several rounds, medians.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable

import psutil
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset

from vae_course.data.batches import Batches
from vae_course.data.images import binarize, data_folder, from_torchvision, mnist_5k
from vae_course.distributions.validation import validation
from vae_course.evaluation.evidence import log_evidence
from vae_course.models.vae import VAE, convolutional_vae, mlp_vae
from vae_course.objectives.bounds import elbo, log_weights
from vae_course.output import say
from vae_course.training.loop import Player, fit, step

ROUNDS, BATCH, HIDDEN, LATENT = 5, 128, 400, 20


def sixty_thousand() -> tuple[str, Tensor]:
    """MNIST's training digits if they are on disk; otherwise MNIST-5k, twelve times over."""
    try:
        found = from_torchvision("MNIST", train=True)
        return "MNIST", found.images
    except FileNotFoundError:
        say(f"MNIST is not in {data_folder()}: using MNIST-5k twelve times over (set VAE_COURSE_DATA for MNIST).")
        return "12 × MNIST-5k", mnist_5k().images.repeat(12, 1, 1, 1)


def fused_adam(model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of all that is compared."""
    return torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)


def with_fit(x: Tensor) -> Callable[[], object]:
    """An epoch by the course's loop."""
    model = mlp_vae((1, 28, 28), (HIDDEN,), LATENT)
    player = Player(lambda x: -elbo(model, x).value, fused_adam(model))
    batches = Batches(x, size=BATCH)
    return lambda: fit([player], batches, epochs=1)


def by_hand(x: Tensor) -> Callable[[], object]:
    """An epoch with every line written out."""
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
    """An epoch with a DataLoader, pictures converted one by one, and the plain optimiser."""
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


def log_p_in_chunks(model: VAE, x: Tensor, samples: int) -> Callable[[], object]:
    """The course's way."""
    return lambda: log_evidence(model, x, samples)


def log_p_by_samples(model: VAE, x: Tensor, samples: int) -> Callable[[], object]:
    """All examples at once, one draw each, again and again."""

    def loop() -> None:
        with torch.no_grad():
            total = torch.full((len(x),), -torch.inf)
            for _ in range(samples):
                total = torch.logaddexp(total, log_weights(model, x, 1)[0])

    return loop


def log_p_one_by_one(model: VAE, x: Tensor, samples: int) -> Callable[[], object]:
    """One example and one draw at a time."""

    def loop() -> None:
        with torch.no_grad():
            for one in x.split(1):
                total = torch.full((1,), -torch.inf)
                for _ in range(samples):
                    total = torch.logaddexp(total, log_weights(model, one, 1)[0])

    return loop


def most_memory(work: Callable[[], object]) -> float:
    """The most memory that this process held during some work, in megabytes, looked at every hundredth of a second."""
    process, held, over = psutil.Process(), [0], threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            held.append(process.memory_info().rss)

    watch = threading.Thread(target=look)
    watch.start()
    try:
        work()
    finally:
        over.set()
        watch.join()
    return max(held) / 1e6


def bench_log_p() -> None:
    """log p(x) in three ways."""
    x = binarize(mnist_5k().images[::5], torch.Generator().manual_seed(0))
    model, samples = mlp_vae((1, 28, 28), (HIDDEN,), LATENT), 1_000
    log_evidence(model, x[:2], samples)
    took = [seconds(log_p_in_chunks(model, x, samples)) for _ in range(3)]
    before = psutil.Process().memory_info().rss / 1e6
    extra = max(0.0, most_memory(log_p_in_chunks(model, x, samples)) - before)
    by_samples = seconds(log_p_by_samples(model, x, samples))
    few, draws = x[:20], 100
    single = seconds(log_p_one_by_one(model, few, draws)) * len(x) * samples / len(few) / draws
    say(f"log p(x) of {len(x):,} digits, {samples:,} samples each")
    say(
        f"{'log_evidence, in chunks':<40}{statistics.median(took):>7.2f} s, {extra:.0f} MB more than the loaded process"
    )
    say(f"{'a loop over samples':<40}{by_samples:>7.2f} s")
    say(f"{'a loop over single images and samples':<40}{single:>7.0f} s (from {len(few)} × {draws})")


def a_step(model: VAE, x: Tensor) -> Callable[[], object]:
    """A step of a training on one batch."""
    player = Player(lambda x: -elbo(model, x).value, fused_adam(model))
    return lambda: step(player, None, (x,))


def bench_convolutions() -> None:
    """Convolutions in both layouts of memory."""
    say(f"\n{'a step of 100 pictures':<40}{'channels last':>16}{'plain':>12}")
    for image, channels, hidden in (((1, 28, 28), (16, 32), ()), ((1, 24, 48), (16, 32, 32), (128,))):
        x = torch.bernoulli(torch.full((100, *image), 0.3))
        works = {}
        for layout in (torch.channels_last, torch.contiguous_format):
            model = convolutional_vae(image, channels, hidden, LATENT)
            model.to(memory_format=layout)
            works[str(layout)] = a_step(model, x)
        with validation(False):
            last, plain = (1e3 * median for median in medians(works, 15).values())
        say(f"{'convolutional VAE, ' + ' × '.join(map(str, image)):<40}{last:>13.1f} ms{plain:>9.1f} ms")


def seconds(work: Callable[[], object]) -> float:
    """How long some work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def medians(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Run all in turn, `rounds` times after one warm-up, and take the median of each."""
    for work in works.values():
        work()
    times = [{name: seconds(work) for name, work in works.items()} for _ in range(rounds)]
    return {name: statistics.median(t[name] for t in times) for name in works}


def bench_training() -> None:
    """An epoch in four ways."""
    name, grey = sixty_thousand()
    x = binarize(grey, torch.Generator().manual_seed(0))
    say(f"\n{name}, {len(x):,} digits")
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
    say(f"\n{'an epoch of 60,000 digits':<40}{'median':>9}{'(a) / this':>12}")
    for label, median in measured.items():
        say(f"{label:<40}{median:>7.2f} s{a / median:>12.2f}")


def bench() -> None:
    """Time everything, a table each."""
    torch.manual_seed(0)
    say(f"{torch.get_num_threads()} threads, torch {torch.__version__}\n")
    bench_log_p()
    bench_convolutions()
    bench_training()
