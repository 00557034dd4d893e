"""Generated tones: of equal power, below half the rate, the same at every call, and heard as what they are."""

from __future__ import annotations

from math import pi

import pytest
import scipy.stats
import torch
from torch import Tensor

from tests.messages import message
from vae_course.data.tones import (
    LOWEST,
    PITCHES,
    POWER,
    RATE,
    RECIPES,
    TIMBRES,
    ToneSet,
    _strengths,
    frequency,
    listen,
    synthesise,
    tones,
)


def every_tone(begins: int = 1, length: int = 512) -> ToneSet:
    """All pitches and timbres, each with some beginnings drawn at random."""
    pitch, timbre = torch.cartesian_prod(torch.arange(PITCHES), torch.arange(len(TIMBRES))).repeat(begins, 1).T
    begin = torch.rand(len(pitch), dtype=torch.float64)
    return ToneSet("every tone", synthesise(pitch, timbre, begin, length), pitch, timbre)


def test_twelve_semitones_are_an_octave_above_220_hertz() -> None:
    f = frequency(torch.arange(25))
    assert f.dtype == torch.float64
    assert float(f[0]) == 220.0
    assert float(f[12]) == pytest.approx(440)
    assert float(f[24]) == pytest.approx(880)
    torch.testing.assert_close(f[1:] / f[:-1], torch.full((24,), 2 ** (1 / 12)).double())


def test_the_first_harmonic_is_always_the_strongest() -> None:
    assert len(TIMBRES) == len(RECIPES)
    for recipe in RECIPES:
        assert recipe[0] > max(recipe[1:])


def test_a_tone_is_the_sum_of_a_loop_over_its_harmonics() -> None:
    pitch, timbre, begin = torch.tensor([0, 7, 23]), torch.tensor([1, 2, 2]), torch.tensor([0.0, 0.3, 0.9]).double()
    sounds = synthesise(pitch, timbre, begin, 300)
    assert sounds.shape == (3, 1, 300)
    assert sounds.dtype == torch.float32
    for i in range(3):
        f = LOWEST * 2 ** (int(pitch[i]) / 12)
        heard = [(k, a) for k, a in enumerate(RECIPES[int(timbre[i])], start=1) if k * f < RATE / 2]
        scale = (2 * POWER / sum(a * a for _, a in heard)) ** 0.5
        t = torch.arange(300).double() / RATE
        by_hand = torch.zeros(300).double()
        for k, a in heard:
            by_hand += scale * a * torch.sin(2 * pi * k * (f * t + begin[i]))
        torch.testing.assert_close(sounds[i, 0].double(), by_hand, atol=1e-4, rtol=0)


def test_all_tones_have_the_same_power() -> None:
    power = every_tone(length=RATE).sounds.double().square().mean((1, 2))  # over a second
    torch.testing.assert_close(power, torch.full_like(power, POWER), rtol=0.01, atol=0)
    assert float(every_tone(3).sounds.abs().max()) < 1.2


def test_no_harmonic_lies_above_half_the_rate() -> None:
    """One above it would be heard below, where the tone has none: everything in the spectrum is a multiple of f."""
    tones_ = every_tone(length=RATE)
    x = tones_.sounds[:, 0].double() * torch.hann_window(RATE, periodic=False, dtype=torch.float64)
    spectrum = torch.fft.rfft(x).abs() / x.shape[1]  # a hertz a bin
    hertz = torch.arange(spectrum.shape[1]).double()
    f = frequency(tones_.pitch)[:, None]
    nearest = (hertz / f).round().clamp(min=1) * f
    between = (hertz - nearest).abs() > 4
    assert float((spectrum * between).max()) < 1e-2 * float(spectrum.max())
    below = (nearest < RATE / 2) & (nearest / f < len(RECIPES[0]) + 0.5)
    beside = (spectrum * ~between).amax(1)
    assert (beside > 0.03).all()
    assert float((spectrum * ~below * (hertz < RATE / 2 - 60)).max()) < 1e-2 * float(spectrum.max())


@pytest.mark.parametrize("length", [256, 512, 2000])
def test_pitch_and_timbre_of_every_tone_are_heard(length: int) -> None:
    known = every_tone(4, length)
    heard = listen(known.sounds)
    assert heard.pitch.shape == heard.timbre.shape == (4 * PITCHES * len(TIMBRES),)
    assert float((heard.pitch - known.pitch).abs().max()) < 0.1
    assert torch.equal(heard.timbre, known.timbre)


def test_pitch_and_timbre_are_heard_through_noise_and_at_any_loudness() -> None:
    known = every_tone(2)
    noisy = known.sounds + 0.05 * torch.randn_like(known.sounds)
    heard = listen(noisy)
    assert float((heard.pitch - known.pitch).abs().max()) < 0.1
    assert torch.equal(heard.timbre, known.timbre)
    for loudness in (1e-3, 30.0, -1.0):
        again = listen(loudness * known.sounds)
        assert float((again.pitch - known.pitch).abs().max()) < 0.1
        assert torch.equal(again.timbre, known.timbre)


def test_a_pitch_between_two_semitones_is_heard_there() -> None:
    t = torch.arange(512).double() / RATE
    semitones = torch.tensor([0.5, 7.25, 22.7]).double()
    x = torch.sin(2 * pi * 220 * 2 ** (semitones[:, None] / 12) * t)[:, None]
    heard = listen(x)
    torch.testing.assert_close(heard.pitch, semitones, atol=0.1, rtol=0)
    assert heard.timbre.tolist() == [0, 0, 0]


def test_the_strengths_of_harmonics_are_the_amplitudes_and_none_above_half_the_rate() -> None:
    known = every_tone()
    f = frequency(known.pitch)
    strength = _strengths(known.sounds[:, 0].double(), f)
    audible = torch.arange(1, 7) * f[:, None] < RATE / 2
    assert (strength[~audible] == 0).all()
    recipe = torch.tensor(RECIPES).double()[known.timbre] * audible
    expected = recipe * (2 * POWER / recipe.square().sum(1, keepdim=True)).sqrt()
    torch.testing.assert_close(strength, expected, atol=1e-3, rtol=0)


def test_silence_is_heard_without_error() -> None:
    heard = listen(torch.zeros(2, 1, 512))
    assert heard.pitch.isfinite().all()
    assert ((heard.timbre >= 0) & (heard.timbre < len(TIMBRES))).all()


@pytest.mark.parametrize("k", [1, 17, 200])
def test_beginning_later_shifts_the_sound(k: int) -> None:
    pitch, timbre = torch.arange(PITCHES), torch.arange(PITCHES) % len(TIMBRES)
    begin = torch.rand(PITCHES, dtype=torch.float64)
    long = synthesise(pitch, timbre, begin, 512 + k)
    later = synthesise(pitch, timbre, begin + frequency(pitch) * k / RATE, 512)
    torch.testing.assert_close(later, long[..., k:], atol=1e-4, rtol=0)
    whole = synthesise(pitch, timbre, begin + 1, 512)
    torch.testing.assert_close(whole, long[..., :512], atol=1e-4, rtol=0)


def test_the_tones_are_the_same_at_every_call_and_move_no_generator() -> None:
    state = torch.get_rng_state()
    first = tones(60, 20)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(77)
    for a, b in zip(first, tones(60, 20), strict=True):
        for name in ("sounds", "pitch", "timbre"):
            assert torch.equal(getattr(a, name), getattr(b, name))


def test_no_sound_is_both_trained_on_and_held_out() -> None:
    train, held_out = tones(400, 100, length=256)
    assert (len(train), len(held_out)) == (400, 100)
    every = torch.cat([train.sounds, held_out.sounds])[:, 0]
    nearest = torch.cdist(every, every).fill_diagonal_(torch.inf).amin(1)
    assert (nearest > 0).all()


def test_every_pitch_and_timbre_is_there_about_equally_often_and_independently() -> None:
    train, held_out = tones(2000, 400, length=256)
    pair = torch.cat([3 * part.pitch + part.timbre for part in (train, held_out)])
    counts = torch.bincount(pair, minlength=72).double()
    expected = 2400 / 72
    assert ((counts - expected).abs() < 5 * expected**0.5).all()
    assert float((counts - expected).square().sum() / expected) < 130  # chi square with 71 degrees of freedom


def test_the_beginnings_are_uniform_over_the_period() -> None:
    """The phase of the first harmonic at time 0 is 2π begin."""
    train = tones(1500, 1).train
    window = torch.hann_window(512, periodic=False, dtype=torch.float64)
    turns = frequency(train.pitch)[:, None] * torch.arange(512) / RATE
    wave = torch.polar(window.expand_as(turns), -2 * pi * turns)
    begin = ((wave * train.sounds[:, 0]).sum(1).angle() / (2 * pi) + 0.25) % 1
    assert scipy.stats.kstest(begin.numpy(), "uniform").pvalue > 1e-4


def test_a_sound_is_right_to_the_last_digits_of_its_number_type() -> None:
    f = float(frequency(torch.tensor([23]))[0])
    sound = synthesise(torch.tensor([23]), torch.tensor([1]), torch.zeros(1).double(), RATE)
    t = torch.arange(RATE).double() / RATE
    heard = [(k, a) for k, a in enumerate(RECIPES[1], start=1) if k * f < RATE / 2]
    scale = (2 * POWER / sum(a * a for _, a in heard)) ** 0.5
    by_hand = sum((scale * a * torch.sin(2 * pi * k * f * t) for k, a in heard), torch.zeros(RATE).double())
    torch.testing.assert_close(sound[0, 0].double(), by_hand, atol=1e-6, rtol=0)


def test_the_tones_of_a_split_sound_as_they_are_labelled() -> None:
    split = tones(100, 50)
    assert split.train.sounds.shape == (100, 1, 512)
    for part in split:
        heard = listen(part.sounds)
        assert float((heard.pitch - part.pitch).abs().max()) < 0.1
        assert torch.equal(heard.timbre, part.timbre)


def test_a_set_is_indexed_and_moved_whole() -> None:
    train = tones(20, 5).train
    some = train[torch.tensor([3, 1])]
    assert len(some) == 2
    assert torch.equal(some.sounds[0], train.sounds[3])
    assert some.pitch.tolist() == [int(train.pitch[3]), int(train.pitch[1])]
    assert some.timbre.tolist() == [int(train.timbre[3]), int(train.timbre[1])]
    assert len(train[:7]) == 7
    assert {some.to("cpu").sounds.device, some.to("meta").pitch.device} == {torch.device("cpu"), torch.device("meta")}


@pytest.mark.parametrize(
    ("sounds", "pitch", "timbre"),
    [((4, 512), (4,), (4,)), ((4, 2, 512), (4,), (4,)), ((4, 1, 512), (3,), (4,)), ((4, 1, 512), (4,), (4, 1))],
)
def test_a_set_of_other_shapes_is_refused(
    sounds: tuple[int, ...], pitch: tuple[int, ...], timbre: tuple[int, ...]
) -> None:
    def made() -> Tensor:
        return ToneSet("mine", torch.zeros(sounds), torch.zeros(pitch), torch.zeros(timbre)).sounds

    text = message(made)
    assert text.startswith("mine:")
    assert str(list(sounds)) in text


@pytest.mark.parametrize("shape", [(), (4, 4)])
def test_one_pitch_for_all_or_a_table_of_them_is_refused(shape: tuple[int, ...]) -> None:
    message(lambda: ToneSet("mine", torch.zeros(4, 1, 512), torch.zeros(shape), torch.zeros(4)))


@pytest.mark.parametrize(("n", "held_out", "length"), [(0, 5, 512), (5, 0, 512), (5, 5, 255), (-1, 5, 512)])
def test_too_few_or_too_short_tones_are_refused(n: int, held_out: int, length: int) -> None:
    assert f"{n} + {held_out} tones of {length}" in message(lambda: tones(n, held_out, length))


@pytest.mark.parametrize(
    ("pitch", "timbre", "name"), [(24, 0, "pitch"), (-1, 0, "pitch"), (0, 3, "timbre"), (0, -1, "timbre")]
)
def test_pitches_and_timbres_outside_the_table_are_refused(pitch: int, timbre: int, name: str) -> None:
    begin = torch.zeros(1).double()
    assert f"A {name} of a tone" in message(lambda: synthesise(torch.tensor([pitch]), torch.tensor([timbre]), begin, 9))


def test_no_tones_make_no_sound() -> None:
    none = torch.zeros(0, dtype=torch.long)
    assert synthesise(none, none, torch.zeros(0), 300).shape == (0, 1, 300)
