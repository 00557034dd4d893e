"""Exercises: `engine` checks an answer and names what is wrong; one further file a sheet."""

from vae_course.exercises.engine import Exercise, ExerciseError, Mistake, NotDoneError, check

__all__ = ["Exercise", "ExerciseError", "Mistake", "NotDoneError", "check"]
