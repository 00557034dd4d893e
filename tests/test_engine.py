"""The engine names the faults that any answer can have, whatever the exercise."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from math import log
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.right_answers.variational_autoencoder import RIGHT_ANSWERS
from vae_course.exercises.engine import check
from vae_course.exercises.exercise import Arguments, Exercise, ExerciseError, NotDoneError, wrong
from vae_course.exercises.parts import normal
from vae_course.exercises.sheets import cleaning, variational_autoencoder
from vae_course.exercises.slips import Slip, slipping

KL = variational_autoencoder.kl_to_standard_normal


def right(mean: Tensor, log_std: Tensor) -> Tensor:
    return (0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std).sum(-1)


def not_done(mean: Tensor, log_std: Tensor) -> Tensor:
    raise NotImplementedError


def raises(mean: Tensor, log_std: Tensor) -> Tensor:
    return right(mean, log_std) / (mean @ log_std)


def prints(mean: Tensor, log_std: Tensor) -> None:
    print(right(mean, log_std))


def forgets_return(mean: Tensor, log_std: Tensor) -> None:
    right(mean, log_std)


def changes_its_input(mean: Tensor, log_std: Tensor) -> Tensor:
    log_std *= 2
    return (0.5 * (mean**2 + log_std.exp() - 1 - log_std)).sum(-1)


FAULTS: list[tuple[Callable[..., Any], str]] = [
    (raises, r"a matrix product of \[\d, \d\] and \[\d, \d\] does not exist"),
    (prints, "returned None; it printed something"),
    (forgets_return, "returned None; is there a return"),
    (changes_its_input, "changed its argument log_std in place"),
    (lambda mean, log_std: [1.0] * len(mean), "is a list; return a torch.Tensor"),
    (lambda mean, log_std: right(mean, log_std).long(), "number type torch.int64; return torch.float64"),
    (lambda mean, log_std: right(mean, log_std) + 0j, "is complex; return real numbers"),
    (lambda mean, log_std: right(mean, log_std) * torch.rand(()), "two calls with the same arguments differ"),
    (lambda mean, log_std: mean ^ 2, r"not a power in Python: use `\*\*`"),
    (lambda mean, log_std: not_done(mean, log_std), "not_done, which your function calls, is not done yet"),
    (lambda mean, log_std: right(mean, log_std)[:, None], "an axis of size 1 is too many at the end"),
    (lambda mean, log_std: right(mean, log_std)[:, None, None], r"shape \[4, 1, 1\] where \[4\] is right"),
    (lambda mean, log_std: right(mean, log_std).log(), "this is the logarithm of the result"),
    (lambda mean, log_std: right(mean, log_std) / (mean - mean).sum(), "NaN or infinite"),
    (lambda mean, log_std: right(mean, log_std).detach(), "no gradient flows back to mean"),
    (lambda mean, log_std: right(mean.detach(), log_std), "no gradient flows back to mean"),
    (
        lambda mean, log_std: right(0.5 * mean + 0.5 * mean.detach(), log_std),
        "its gradient with respect to mean is 0.5 times the right one",
    ),
    (lambda mean, log_std: 3 * right(mean, log_std), "3 times the right one"),
    (lambda mean, log_std: right(mean, log_std) + 2, "plus 2"),
    (lambda mean, log_std: right(mean, torch.zeros_like(mean)), "does not depend on log_std"),
    (lambda mean, log_std: right(mean, log_std) ** 2, "this is the square of the result"),
    (lambda mean, log_std: right(mean, log_std) ** 3, "where .* is right"),
    (lambda mean, log_std: (right(mean, log_std), mean), "returned 2 values; it should return 1"),
    (lambda mean: right(mean, mean), r"must take the arguments \(mean, log_std\)"),
]


@pytest.mark.parametrize(("answer", "message"), FAULTS)
def test_a_generic_fault_is_named_in_one_line(answer: Callable[..., Any], message: str) -> None:
    for seed in range(3):
        with pytest.raises(ExerciseError, match=message) as raised:
            check(KL, answer, seed=seed)
        assert "\n" not in str(raised.value)


def test_an_answer_that_is_not_done_says_so() -> None:
    with pytest.raises(NotDoneError, match="not done yet"):
        check(KL, not_done)


def test_an_answer_that_is_no_function_says_so() -> None:
    with pytest.raises(ExerciseError, match="is a Tensor, not a function"):
        check(KL, torch.zeros(3))


def test_a_mean_for_a_sum_is_named_where_no_mistake_does() -> None:
    def squared_error(reconstruction: Tensor, x: Tensor) -> Tensor:
        return (x - reconstruction).square().flatten(1).sum(-1)

    def pictures(generator: torch.Generator) -> list[tuple[Tensor, ...]]:
        return [(normal(generator, n, 1, 3, 4), normal(generator, n, 1, 3, 4)) for n in (5, 1, 2)]

    bare = Exercise("squared_error", squared_error, pictures, [])
    with pytest.raises(ExerciseError, match="a mean was taken where a sum is meant"):
        check(bare, lambda reconstruction, x: (x - reconstruction).square().flatten(1).mean(-1))
    with pytest.raises(ExerciseError, match="reduced over every axis"):
        check(bare, lambda reconstruction, x: (x - reconstruction).square().mean())
    with pytest.raises(ExerciseError, match="sign is flipped"):
        check(bare, lambda reconstruction, x: -squared_error(reconstruction, x))


def test_a_notebook_shows_the_line_and_no_traceback() -> None:
    assert ExerciseError("the sign is flipped")._render_traceback_() == ["ExerciseError: the sign is flipped"]
    assert NotDoneError("not done yet")._render_traceback_() == ["NotDoneError: not done yet"]


def test_printing_beside_a_right_answer_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    def talkative(mean: Tensor, log_std: Tensor) -> Tensor:
        print("shapes:", mean.shape)
        return right(mean, log_std)

    check(KL, talkative)
    assert capsys.readouterr().out == "✓ kl_to_standard_normal\n"


def test_a_model_left_in_the_wrong_state_is_told_from_a_wrong_value() -> None:
    exercise = cleaning.denoising_step
    bare = type(exercise)(exercise.name, exercise.reference, exercise.cases, [])
    with pytest.raises(ExerciseError, match="parameters afterwards are not"):
        check(bare, exercise.mistakes[4].answers[0])


def test_cases_are_drawn_anew_at_each_check() -> None:
    def case(seed: int) -> Tensor:
        argument: Tensor = KL.cases(torch.Generator().manual_seed(seed))[0][0]
        return argument

    assert not torch.equal(case(0), case(1))
    assert torch.equal(case(0), case(0))


def _bound_cases(generator: torch.Generator) -> list[Arguments]:
    apart = torch.tensor([[0.0], [-2000.0], [1500.0]], dtype=torch.float64)  # draws of very different sizes
    log_weights = [normal(generator, 6, 2, scale=2.0) + at for at in (0.0, -900.0, 900.0)] + [
        normal(generator, 3, 2) + apart
    ]
    return [(log_w.requires_grad_(),) for log_w in log_weights]


BOUND = Exercise("bound", lambda log_w: log_w.logsumexp(0) - log(len(log_w)), _bound_cases, [])


def test_an_answer_may_pass_through_float32() -> None:
    def filled(mean: Tensor, log_std: Tensor) -> Tensor:
        out = torch.zeros(len(mean))
        for i, (m, s) in enumerate(zip(mean, log_std, strict=True)):
            out[i] = right(m, s)
        return out

    for seed in range(20):
        check(KL, filled, seed=seed)
        check(KL, lambda mean, log_std: right(mean, log_std).float(), seed=seed)
        check(BOUND, lambda w: w.logsumexp(0) - torch.log(torch.tensor(len(w))), seed=seed)


def test_answers_that_overflow_or_lose_the_gradient_only_in_awkward_cases_are_refused() -> None:
    def patched(log_weights: Tensor) -> Tensor:
        naive = log_weights.exp().mean(0).log()
        return torch.where(naive.isfinite(), naive, log_weights.logsumexp(0) - log(len(log_weights)))

    with pytest.raises(ExerciseError, match="gradient"):
        check(BOUND, patched)
    for shift in (lambda w: w.min(0).values, lambda w: w.mean(0)):
        with pytest.raises(ExerciseError):
            check(BOUND, lambda w, shift=shift: shift(w) + (w - shift(w)).exp().mean(0).log())
    with pytest.raises(ExerciseError):
        check(variational_autoencoder.elbo_from_samples, lambda *a: RIGHT_ANSWERS["elbo_from_samples"][0](*a).detach())


PAIR = Exercise("pair", lambda x: (x, 2 * x), lambda g: [(normal(g, 3),)], [], results=("means", "standard deviations"))


def test_several_results_may_come_as_a_list() -> None:
    check(PAIR, lambda x: [x, 2 * x])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: {"means": x}, "returned a dict; return a tuple: means, standard deviations"),
        (lambda x: (x,), "returned 1 value; it should return 2"),
        (lambda x: (x, 3 * x + 1), "the standard deviations are "),
        (lambda x: (x[:2], x), "the means have the shape"),
    ],
)
def test_several_results_are_spoken_of_in_the_plural(answer: Callable[[Tensor], Any], message: str) -> None:
    with pytest.raises(ExerciseError, match=message):
        check(PAIR, answer)


def test_a_number_that_requires_a_gradient_is_described_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    cases = lambda g: [(torch.tensor(2.0, dtype=torch.float64, requires_grad=True),)]  # noqa: E731
    with pytest.raises(ExerciseError, match=r"for x 2"):
        check(Exercise("square", lambda x: x**2, cases, []), lambda x: x**2 + x)
    assert not recwarn.list


def parts(x: Tensor) -> tuple[Tensor, Tensor]:
    """Two numbers that add up to the sum of the squares."""
    half = x.square().sum() / 3
    return x.square().sum() - half, half


def parts_with_a_detached_share(x: Tensor) -> tuple[Tensor, Tensor]:
    half = x.square().sum().detach() / 3
    return x.square().sum() - half, half + 0 * x.sum()


def test_results_that_add_up_do_not_hide_a_missing_gradient() -> None:
    cases = lambda g: [(normal(g, 4).requires_grad_(),), (normal(g, 3).requires_grad_(),)]  # noqa: E731
    exercise = Exercise("split", parts, cases, [], results=("first", "second"))
    with pytest.raises(ExerciseError, match="the value is right, but a part of x was detached"):
        check(exercise, parts_with_a_detached_share, seed=0)


def test_a_result_wrong_only_where_zero_is_right_is_not_off_by_a_factor_of_one() -> None:
    cases = lambda g: [(torch.tensor([1.0, 2.0, 3.0, 0.0, 0.0], dtype=torch.float64) * (1 + k),) for k in range(2)]  # noqa: E731
    exercise = Exercise("copy", lambda x: x.clone(), cases, [])
    with pytest.raises(ExerciseError, match="the result is 1 where 0 is right"):
        check(exercise, lambda x: x + (x == 0).double(), seed=0)


def test_wrong_answers_warn_no_student() -> None:
    def warns(mean: Tensor, log_std: Tensor) -> Tensor:
        warnings.warn("of a wrong answer", stacklevel=1)
        return right(mean, log_std) + 1

    exercise = Exercise(KL.name, KL.reference, KL.cases, wrong("one too many", warns))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ExerciseError, match="sign is flipped"):
            check(exercise, lambda mean, log_std: -right(mean, log_std))


def test_a_slip_in_the_call_that_ends_no_grad_leaves_gradients_on() -> None:
    def answer(x: Tensor) -> Tensor:
        with torch.no_grad():
            return 2 * x

    def fail(*call: Any) -> Any:
        raise RuntimeError

    for site in range(6):
        with suppress(RuntimeError):
            slipping(answer, Slip(site, fail, ""))(torch.ones(2))
        assert torch.is_grad_enabled()
