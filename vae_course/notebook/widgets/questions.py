"""Questions that answer back: every wrong choice says what is wrong with it and what to read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets


@dataclass(frozen=True)
class Question:
    """A question, what may be chosen and the reply to each choice, and which choice is right.

    Raises ValueError unless the right choice is one of at least two.
    """

    text: str
    replies: Mapping[str, str]
    right: str

    def __post_init__(self) -> None:
        if self.right not in self.replies or len(self.replies) < 2:
            raise ValueError(f"{self.text!r}: {self.right!r} must be one of at least two choices.")


class SelfTest(ipywidgets.VBox):  # type: ignore[misc]
    """Questions with a choice each; the reply to a choice appears under it, and the last line counts.

    Where no kernel runs, the choices unfold to their replies. `score` is the number of right choices.
    Raises ValueError for no questions.
    """

    def __init__(self, questions: Sequence[Question]) -> None:
        if not questions:
            raise ValueError("SelfTest was given no questions: give at least one.")
        self.questions = list(questions)
        self.choices = [
            ipywidgets.RadioButtons(options=list(q.replies), value=None, layout={"width": "auto"}) for q in questions
        ]
        self.replies = [ipywidgets.HTML() for _ in questions]
        self.total = ipywidgets.HTML()
        self.total.add_class("vae-course-total")
        rows: list[ipywidgets.Widget] = []
        for number, (question, choice, reply) in enumerate(
            zip(self.questions, self.choices, self.replies, strict=True), start=1
        ):
            rows += [ipywidgets.HTML(f"<b>{number}.</b> {escape(question.text)}"), choice, reply]
            choice.observe(self.refresh, names="value")
        super().__init__([*rows, self.total])
        self.refresh()

    @property
    def score(self) -> int:
        """How many choices are right at the moment."""
        return sum(c.value == q.right for c, q in zip(self.choices, self.questions, strict=True))

    def refresh(self, change: object = None) -> None:
        """Show the replies to what is chosen, and the count."""
        for question, choice, reply in zip(self.questions, self.choices, self.replies, strict=True):
            reply.value = "" if choice.value is None else f"<p>{_reply(question, choice.value)}</p>"
        self.total.value = f"<b>{self.score} of {len(self.questions)} right</b>"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle = super()._repr_mimebundle_(**options)
        data = dict(bundle[0] if isinstance(bundle, tuple) else bundle)
        return {**data, "text/html": self.static()}

    def static(self) -> str:
        """The same questions as a page on which each choice unfolds to its reply."""
        parts = []
        for number, question in enumerate(self.questions, start=1):
            parts.append(f"<p><b>{number}.</b> {escape(question.text)}</p>")
            parts += [
                f"<details><summary>{escape(choice)}</summary>{_reply(question, choice)}</details>"
                for choice in question.replies
            ]
        return "\n".join(parts)


def _reply(question: Question, choice: str) -> str:
    verdict = "Right." if choice == question.right else "Not so."
    return f"<b>{verdict}</b> {escape(question.replies[choice])}"
