"""Eight questions on what the course needs of probability and of PyTorch."""

from __future__ import annotations

from vae_course.notebook.widgets.questions import Question, SelfTest

# Where to read again: Deisenroth, Faisal & Ong (2020), Mathematics for Machine Learning (free at mml-book.com);
# PyTorch's own documentation.
QUESTIONS = (
    Question(
        "p is a probability density on the real line. What is always true?",
        {
            "p(x) ≤ 1 for every x": "A density may exceed 1 where it is concentrated: that of N(0, 0.1²) is 3.99 at 0. "
            "Read again: Mathematics for Machine Learning, section 6.2.2.",
            "∫ p(x) dx = 1": "Only integrals of a density are probabilities.",
            "p(x) is the probability of x": "Where there is a density, every single x has probability 0; "
            "p(x) dx is the probability of a short piece. Read again: Mathematics for Machine Learning, section 6.2.2.",
        },
        "∫ p(x) dx = 1",
    ),
    Question(
        "Which of these is p(z | x)?",
        {
            "p(x | z) p(x) / p(z)": "Prior and evidence have changed places. "
            "Read again: Bayes' theorem, Mathematics for Machine Learning, section 6.3.",
            "p(x | z) / p(x)": "The prior p(z) is missing: in general this does not integrate to 1 over z. "
            "Read again: Bayes' theorem, Mathematics for Machine Learning, section 6.3.",
            "p(x | z) p(z) / p(x)": "Bayes' theorem: likelihood times prior, divided by the evidence.",
        },
        "p(x | z) p(z) / p(x)",
    ),
    Question(
        "When is E[X + Y] = E[X] + E[Y]? (Both means exist.)",
        {
            "always": "Expectations are linear, whatever ties X to Y.",
            "only if X and Y are independent": "Independence is needed for E[XY] = E[X] E[Y] in general, not for a sum. "
            "Read again: Mathematics for Machine Learning, section 6.4.",
            "only if X and Y are uncorrelated": "That is what Var(X + Y) = Var(X) + Var(Y) needs. "
            "Read again: Mathematics for Machine Learning, section 6.4.",
        },
        "always",
    ),
    Question(
        "X is random. What holds between E[X²] and E[X]²?",
        {
            "E[X²] ≥ E[X]²": "The difference is the variance. For any convex f in place of the square it is Jensen's "
            "inequality, on which the evidence lower bound rests.",
            "they are equal": "Only if X is constant: their difference is the variance. "
            "Read again: Mathematics for Machine Learning, section 6.4.",
            "E[X²] ≤ E[X]²": "Try X = ±1, a fair coin: E[X²] = 1 and E[X]² = 0. "
            "Read again: Mathematics for Machine Learning, section 6.4.",
        },
        "E[X²] ≥ E[X]²",
    ),
    Question(
        "The mean of n independent draws with standard deviation s: what is its standard deviation?",
        {
            "s": "That is the spread of one draw. Averaging makes it smaller. "
            "Read again: sums of independent random variables, Mathematics for Machine Learning, section 6.4.",
            "s / n": "The variance of the sum is n s², that of the mean n s² / n² = s²/n: take the root. "
            "Read again: sums of independent random variables, Mathematics for Machine Learning, section 6.4.",
            "s / √n": "A hundred times as many draws for one more digit: so goes every mean of independent draws.",
        },
        "s / √n",
    ),
    Question(
        "What is the shape of torch.zeros(5, 1) + torch.zeros(3)?",
        {
            "[5, 3]": "Axes are matched from the right, and an axis of size 1 is stretched.",
            "it is an error": "Sizes 1 and 3 fit, and a missing axis counts as 1. "
            "Read again: Broadcasting semantics, in PyTorch's documentation.",
            "[5, 1, 3]": "Nothing is put side by side: axes are matched from the right, 1 with 3 and 5 with none. "
            "Read again: Broadcasting semantics, in PyTorch's documentation.",
        },
        "[5, 3]",
    ),
    Question(
        "w is a parameter, w.grad is None, and two losses are computed from w separately. After loss_1.backward() and "
        "loss_2.backward(), what does w.grad hold?",
        {
            "the gradient of loss_2": "A second call adds to what is there; it replaces nothing. "
            "Read again: torch.Tensor.backward, in PyTorch's documentation.",
            "the sum of both gradients": "That is why a training step clears the gradients first.",
            "nothing: the second call fails": "That happens where both share a graph whose saved values the first call has "
            "freed. Read again: torch.Tensor.backward, in PyTorch's documentation.",
        },
        "the sum of both gradients",
    ),
    Question(
        "What does y.detach() give?",
        {
            "the same numbers, through which no gradient flows back": "The lectures on reparameterization, discrete latents and the VQ-VAE turn on where this call stands.",
            "a copy whose changes leave y as it is": "It shares its memory with y: changing one in place changes the other. "
            "Read again: torch.Tensor.detach, in PyTorch's documentation.",
            "y with its gradient set to zero": "It touches no gradient that has been computed; it takes part in no graph. "
            "Read again: torch.Tensor.detach, in PyTorch's documentation.",
        },
        "the same numbers, through which no gradient flows back",
    ),
)


def self_test() -> SelfTest:
    """The eight questions, ready to be answered."""
    return SelfTest(QUESTIONS)
