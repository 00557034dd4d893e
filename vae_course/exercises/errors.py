"""What an exception inside an answer means, in a sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vae_course.exercises.exercise import STUB_MESSAGE, ExerciseError, NotDoneError
from vae_course.exercises.observe import Raised

EXPLAINED: Sequence[tuple[str, str]] = (  # of an exception's text, and what it means; \1, \2: what was found
    (
        r"before Module.__init__\(\) call",
        "call super().__init__() first: a module must be set up before it is given parts",
    ),
    (r"bitwise_xor", "`^` is not a power in Python: use `**`"),
    (
        r"The size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\)",
        r"tensors whose shapes do not fit were combined, an axis of \1 with one of \2: write the shape beside each line",
    ),
    (
        r"mat1 and mat2 shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)|size mismatch, got",
        r"a matrix product of [\1, \2] and [\3, \4] does not exist, as its inner sizes differ: check each transpose",
    ),
    (
        r"Dimension out of range \(expected to be in range of \[(-?\d+), (-?\d+)\], but got (-?\d+)\)",
        r"axis \3 was named of a tensor that has none (its axes go from \1 to \2): was one squeezed or reduced away before?",
    ),
    (
        r"Expected parameter (?:scale|rate|concentration)\b.*GreaterThan|Expected parameter (?:scale|rate)\b.*[Pp]ositive",
        "a distribution was given a scale that is not positive: Normal takes the standard deviation, exp(log σ), not its logarithm",
    ),
    (
        r"Expected parameter probs\b",
        "a distribution was given probabilities outside [0, 1]: pass logits by name, logits=…",
    ),
    (
        r"[Cc]an't call numpy\(\) on Tensor that requires grad|Can't convert .* to numpy",
        "stay in torch: NumPy knows no gradients, and what goes through it is cut off",
    ),
    (
        r"leaf Variable that requires grad is being used in an in-place|modified by an inplace operation",
        "a tensor that gradients flow through was changed in place: make a new one",
    ),
    (
        r"Boolean value of Tensor with more than one|only one element tensors can be converted|a Tensor with \d+ elements cannot be converted",
        "many numbers were taken for one, in an `if` or by float(): use torch.where, or reduce them first",
    ),
    (
        r"expected scalar type|expected m1 and m2 to have the same dtype|must have the same dtype|expected .* to have the same dtype",
        "float32 meets float64 here: make new tensors like the arguments, by torch.zeros_like(x) or x.new_zeros(…)",
    ),
    (
        r"one_hot|Class values must be",
        "one_hot was given other classes than it was told of: give it the number of classes as its second argument",
    ),
    (
        r"does not require grad and does not have a grad_fn",
        "backward was called on something that no gradient flows through",
    ),
    (
        r"backward through the graph a second time",
        "a graph was gone back through twice: compute the loss anew for each step",
    ),
    (r"shape '.*' is invalid for input of size (\d+)", r"\1 numbers cannot be laid out so: reshape keeps their number"),
)


def explain(raised: Raised, case: str) -> ExerciseError:
    """What an exception inside an answer means. case: the arguments, in words."""
    if raised.said:
        return NotDoneError(raised.text) if raised.kinds[:1] == ("NotDoneError",) else ExerciseError(raised.text)
    reason = raised.text
    if "NotImplementedError" in raised.kinds and reason in ("", STUB_MESSAGE):
        if raised.by not in (raised.own, "__init__", "forward"):
            return ExerciseError(f"{raised.by}, which your function calls, is not done yet")
        return NotDoneError("not done yet")
    where = f"(for {case})"
    kind = raised.kinds[0]
    if "NameError" in raised.kinds or "ModuleNotFoundError" in raised.kinds:
        return ExerciseError(f"your function raised {kind}: {reason}; import or define it in a cell above")
    for pattern, said in EXPLAINED:
        if found := re.search(pattern, reason):
            told = found.expand(said) if None not in found.groups() else said
            return ExerciseError(f"{told} {where}")
    if len(reason) > 160:
        reason = reason[:160].rsplit(" ", 1)[0] + " …"
    told = f": {reason}" if reason else ""
    return ExerciseError(f"your function raised {kind}{told} {where}")
