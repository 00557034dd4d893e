"""Every mistake gets its own message, right answers of several styles pass, and the generic faults are named."""

from __future__ import annotations

from importlib import import_module

import pytest

from vae_course.course.sources import Kind, targets
from vae_course.exercises.engine import check, judge
from vae_course.exercises.exercise import Exercise

SHEETS = [target.lecture.name for target in targets() if target.kind is Kind.SHEET]
RIGHT_ANSWERS = {
    name: answers
    for sheet in SHEETS
    for name, answers in import_module(f"tests.right_answers.{sheet}").RIGHT_ANSWERS.items()
}


def exercises() -> list[Exercise]:
    modules = [import_module(f"vae_course.exercises.sheets.{name}") for name in SHEETS]
    return [value for module in modules for value in vars(module).values() if isinstance(value, Exercise)]


def name_of(exercise: Exercise) -> str:
    return exercise.name


@pytest.mark.parametrize("exercise", exercises(), ids=name_of)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_wrong_answer_gets_its_own_message(exercise: Exercise, seed: int) -> None:
    """What each wrong answer gives is run once as what is known, and once as what is judged."""
    for mistake in exercise.mistakes:
        assert "\n" not in mistake.message
        for wrong in mistake.answers:
            failure = judge(exercise, exercise.prepare(wrong), seed)
            assert failure is not None, f"accepted: {mistake.message}"
            assert str(failure) == mistake.message


@pytest.mark.parametrize("exercise", exercises(), ids=name_of)
def test_an_exercise_has_mistakes_and_right_answers_enough(exercise: Exercise) -> None:
    assert len(exercise.mistakes) >= 4
    assert len(RIGHT_ANSWERS[exercise.name]) >= 3
    check(exercise, exercise.reference)


@pytest.mark.parametrize("exercise", exercises(), ids=name_of)
def test_a_right_answer_of_another_style_passes(exercise: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    for answer in RIGHT_ANSWERS[exercise.name]:
        for seed in range(5):
            check(exercise, answer, seed=seed)
    assert set(capsys.readouterr().out.splitlines()) == {f"✓ {exercise.name}"}
