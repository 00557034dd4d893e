"""Generated tones: a pitch, a timbre and a moment to begin, all known, and their measurement back from the sound.

| factor | values |
|---|---|
| pitch | 24 semitones of equal temperament from 220 Hz (A3) |
| timbre | flute, clarinet, strings: three recipes of harmonics, the first harmonic always the strongest |

8,000 samples a second, equal power for all. These are recipes with the names of instruments, not recordings of any.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import NamedTuple

import torch
from torch import Tensor

from vae_course.data.images import SPLIT_SEED
from vae_course.data.sets import ExampleSet, Split
from vae_course.processor import to_float64
from vae_course.refusals import refuse_unusable

RATE = 8_000  # samples a second
LOWEST = 220.0  # hertz
PITCHES = 24
TIMBRES = ("flute", "clarinet", "strings")
RECIPES = (  # amplitudes of harmonics 1 to 6
    (1.0, 0.15, 0.05, 0.0, 0.0, 0.0),
    (1.0, 0.0, 0.7, 0.0, 0.45, 0.0),
    (1.0, 0.8, 0.6, 0.5, 0.4, 0.3),
)
POWER = 0.08  # mean square of a tone


@dataclass(frozen=True)
class ToneSet(ExampleSet):
    """Sounds [n, 1, length], pitch [n] in semitones above 220 Hz, timbre [n], both counted from 0.

    Raises ValueError for other shapes.
    """

    sounds: Tensor
    pitch: Tensor
    timbre: Tensor

    def __post_init__(self) -> None:
        n = len(self.sounds)
        if self.sounds.ndim != 3 or self.sounds.shape[1] != 1 or (self.pitch.shape, self.timbre.shape) != ((n,), (n,)):
            raise ValueError(
                f"{self.name}: sounds must be [n, 1, length] with a pitch and a timbre each; these are "
                f"{list(self.sounds.shape)}, {list(self.pitch.shape)} and {list(self.timbre.shape)}."
            )


def tones(n: int = 3_000, held_out: int = 600, length: int = 512) -> Split[ToneSet]:
    """n tones to train on and `held_out` others, each with pitch, timbre and beginning drawn at random; always the same.

    Raises ValueError for fewer than one of each, or sounds shorter than 256 samples.
    """
    if min(n, held_out) < 1 or length < 256:
        raise ValueError(f"{n} + {held_out} tones of {length} samples were asked for; the least is 1 + 1 of 256.")
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    both = n + held_out
    pitch = torch.randint(PITCHES, (both,), generator=generator)
    timbre = torch.randint(len(TIMBRES), (both,), generator=generator)
    begin = torch.rand(both, generator=generator, dtype=torch.float64)
    drawn = ToneSet("generated tones", synthesise(pitch, timbre, begin, length), pitch, timbre)
    return Split(drawn[:n], drawn[n:])


def frequency(pitch: Tensor) -> Tensor:
    """220 · 2^(pitch / 12) hertz, float64."""
    return LOWEST * 2 ** (pitch.double() / 12)


def synthesise(pitch: Tensor, timbre: Tensor, begin: Tensor, length: int) -> Tensor:
    """Σ_k a_k sin(2π k (f t + begin)), scaled to equal power: [n, 1, length].

    pitch, timbre: int64 [n]; begin: [n], the part of a period at which the sound begins. Harmonics above half the
    sampling rate are left out. Raises ValueError for values outside the table above.
    """
    for name, values, many in (("pitch", pitch, PITCHES), ("timbre", timbre, len(TIMBRES))):
        if len(values) and not 0 <= int(values.min()) <= int(values.max()) < many:
            raise ValueError(f"A {name} of a tone is out of range: give whole numbers from 0 to {many - 1}.")
    recipes = torch.tensor(RECIPES, dtype=torch.float64)
    harmonic = torch.arange(1, recipes.shape[1] + 1)
    f = frequency(pitch)  # [n]
    amplitude = recipes.to(pitch.device)[timbre] * (harmonic.to(f) * f[:, None] < RATE / 2)  # [n, harmonics]
    amplitude = amplitude * (2 * POWER / amplitude.square().sum(1, keepdim=True)).sqrt()
    time = torch.arange(length, device=f.device, dtype=torch.float64) / RATE
    phase = 2 * pi * (f[:, None] * time + begin[:, None].to(f))  # [n, length]
    waves = torch.sin(harmonic.to(f)[:, None] * phase[:, None])  # [n, harmonics, length]
    return torch.einsum("nh,nht->nt", amplitude, waves).float()[:, None]


class Heard(NamedTuple):
    """What a sound sounds like: its pitch [n] in semitones above 220 Hz (a real number), and its timbre [n]."""

    pitch: Tensor
    timbre: Tensor


def listen(sounds: Tensor) -> Heard:
    """Measure pitch and timbre: the frequency of the strongest partial, and the recipe nearest to the harmonics' strengths.

    sounds: [n, 1, length]. The spectrum is that of the sound under a Hann window, on a grid finer than 1 Hz; the
    strengths are fitted by least squares. For tones of this module it gives the pitch within a tenth of a semitone.
    Raises ValueError for another shape, numbers that are not finite.
    """
    if sounds.ndim != 3 or sounds.shape[1] != 1:
        raise ValueError(f"listen was given sounds {list(sounds.shape)}: it needs [n, 1, length].")
    refuse_unusable("listen", sounds=sounds)
    x = to_float64(sounds[:, 0])
    window = torch.hann_window(x.shape[1], periodic=False, dtype=torch.float64, device=x.device)
    points = 16_384
    spectrum = torch.fft.rfft(x * window, n=points).abs()
    lowest, highest = 0.8 * LOWEST, 1.1 * LOWEST * 2 ** (PITCHES / 12)  # hertz
    low, high = int(lowest * points / RATE), int(highest * points / RATE)
    f = (spectrum[:, low:high].argmax(1) + low).double() * RATE / points  # [n]
    strength = _strengths(x, f)  # [n, harmonics]
    recipes = torch.tensor(RECIPES, dtype=torch.float64, device=x.device)
    audible = torch.arange(1, recipes.shape[1] + 1, device=x.device) * f[:, None] < RATE / 2
    expected = recipes[None] * audible[:, None]  # [n, timbres, harmonics]
    expected = expected / expected.norm(dim=-1, keepdim=True)
    heard = strength / strength.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    return Heard(12 * (f / LOWEST).log2(), torch.einsum("nh,nth->nt", heard, expected).argmax(1))


def _strengths(x: Tensor, f: Tensor) -> Tensor:
    """The amplitudes of harmonics 1 to 6 of f in x, by least squares: [n, length], [n] → [n, 6]; 0 above half the rate."""
    harmonic = torch.arange(1, len(RECIPES[0]) + 1, device=x.device)
    time = torch.arange(x.shape[1], device=x.device, dtype=torch.float64) / RATE
    phase = 2 * pi * f[:, None, None] * harmonic[:, None] * time  # [n, harmonics, length]
    audible = (harmonic * f[:, None] < RATE / 2)[..., None]
    waves = torch.cat([phase.sin() * audible, phase.cos() * audible], 1)  # [n, 2 · harmonics, length]
    gram = waves @ waves.mT + 1e-9 * torch.eye(waves.shape[1], device=x.device)
    weights = torch.linalg.solve(gram, (waves @ x[..., None]))[..., 0]
    strength: Tensor = weights.unflatten(1, (2, -1)).norm(dim=1)
    return strength
