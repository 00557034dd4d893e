"""Every mistake gets its own message, right answers of several styles pass, and the generic faults are named."""

from __future__ import annotations

from importlib import import_module

import pytest

from vae_course.exercises import Exercise, ExerciseError, check
from vae_course.exercises.engine import Answer

SHEETS = [
    "start_here",
    "autoencoders",
    "autoencoders_at_work",
    "latent_variable_models",
    "variational_inference",
    "evidence_lower_bound",
    "reparameterization",
    "variational_autoencoder",
    "likelihoods_and_evaluation",
    "convolutional_vae",
    "beta_vae",
    "conditional_vae",
    "discrete_vae",
    "vq_vae",
]
RIGHT_ANSWERS = {
    name: answers
    for sheet in SHEETS
    for name, answers in import_module(f"tests.right_answers.{sheet}").RIGHT_ANSWERS.items()
}


def exercises() -> list[Exercise]:
    modules = [import_module(f"vae_course.exercises.{name}") for name in SHEETS]
    return [value for module in modules for value in vars(module).values() if isinstance(value, Exercise)]


CASES = [
    pytest.param(e, m.message, wrong, id=f"{e.name}: {m.message[:40]}")
    for e in exercises()
    for m in e.mistakes
    for wrong in (m.answer, *m.also)
]


@pytest.mark.parametrize(("exercise", "message", "wrong"), CASES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_mistake_gets_its_own_message(exercise: Exercise, message: str, wrong: Answer, seed: int) -> None:
    with pytest.raises(ExerciseError) as raised:
        check(exercise, wrong, seed=seed)
    assert str(raised.value) == message
    assert "\n" not in message


@pytest.mark.parametrize("exercise", exercises(), ids=lambda e: e.name)
def test_an_exercise_has_mistakes_and_right_answers_enough(exercise: Exercise) -> None:
    assert len(exercise.mistakes) >= 4
    assert len({m.message for m in exercise.mistakes}) == len(exercise.mistakes)
    assert len(RIGHT_ANSWERS[exercise.name]) >= 3
    check(exercise, exercise.reference)


@pytest.mark.parametrize(
    ("exercise", "style"), [(e, i) for e in exercises() for i in range(len(RIGHT_ANSWERS.get(e.name, [])))]
)
def test_a_right_answer_of_another_style_passes(
    exercise: Exercise, style: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(5):
        check(exercise, RIGHT_ANSWERS[exercise.name][style], seed=seed)
    assert set(capsys.readouterr().out.splitlines()) == {f"✓ {exercise.name}"}
