# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # [[this]]
#
# [[count]], from • (anybody who read the lecture) to ••• (takes thought); [[minutes]] minutes in all. You need not
# have run the lecture. Replace each `raise NotImplementedError(…)` by your answer and run the cell below it: the check
# tells you whether the answer is right, and if not, what is wrong.
#
# The checks call your function with tensors in float64. Every result is a torch tensor.
#
# Work in `my-sheets/`, where nothing overwrites your copy. In a terminal, `make check NB=[[this]]` checks all exercises at once.
# All logarithms are natural: the unit is the nat, but in the exercise on bits.

# %%
from math import log, pi

import torch
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from vae_course.data.batches import Batches
from vae_course.data.stand_ins import pump_readings, with_gaps
from vae_course.distributions.families import diagonal_normal
from vae_course.distributions.observed import Observed
from vae_course.evaluation.evidence import log_evidence
from vae_course.exercises.engine import check
from vae_course.exercises.sheets import own_data as sheet
from vae_course.models.vae import VAE
from vae_course.networks.multilayer import mlp
from vae_course.notebook import figures
from vae_course.notebook.runtime import start
from vae_course.objectives.bounds import elbo
from vae_course.training.loop import adam_player, fit

run = start()
readings, names = pump_readings(1_500)  # [1500, 16]: eight pressures and eight flows of a pump
values = with_gaps((readings - readings.mean(0)) / readings.std(0), 0.3)  # NaN at gaps

# %% [markdown]
# ## · Keep groups together •
#
# *10 minutes.* Readings of one machine, pictures of one patient: what belongs together must stand on one side of a split. Take
# the groups in a given order, and hold each out whole, until **at least** the share asked for of all *examples* is held out; then
# stop.
#
# `group`: `[n]`, whole numbers from 0 to G − 1, the group of each example; `order`: `[G]`, the numbers of all groups in the order in
# which they are taken; `share`: a number between 0 and 1 → `[n]` of bool, True where an example is held out.
#
# <details><summary>Hint 1</summary>When is a group taken? Look at how many examples are held out <em>before</em> it.</details>
# <details><summary>Hint 2</summary><code>group.bincount()[order]</code> are the sizes in the order taken; what the groups before add
# up to is the cumulated sum less the size itself.</details>
# <details><summary>Hint 3</summary>Decisions stand in the order taken. <code>by_group[order] = taken</code> brings them to the groups' numbers, and
# <code>by_group[group]</code> to the examples.</details>


# %%
def keep_groups_together(group: Tensor, order: Tensor, share: float) -> Tensor:
    ### BEGIN SOLUTION
    sizes = group.bincount(minlength=len(order))[order]
    taken = sizes.cumsum(0) - sizes < share * len(group)
    by_group = torch.zeros(len(order), dtype=torch.bool)
    by_group[order] = taken
    return by_group[group]
    ### END SOLUTION


# %%
check(sheet.keep_groups_together, keep_groups_together)

# %% [markdown]
# Three hundred pumps, each read five times. You should see that a held-out row lies about twice as far from its nearest training row where whole
# pumps are held out.

# %%
pump = torch.arange(300).repeat_interleave(5)
read_again = readings[:300].repeat_interleave(5, dim=0) + 0.05 * torch.randn(1_500, 16)
whole = keep_groups_together(pump, torch.randperm(300), 0.25)
rows = torch.rand(1_500) < 0.25
for name, held in {"rows at random": rows, "whole pumps": whole}.items():
    nearest = torch.cdist(read_again[held], read_again[~held]).amin(1)
    print(f"{name:15s} {int(held.sum())} held out, distance to training {float(nearest.median()):.2f}")  # fmt: skip

# %% [markdown]
# ## · A difference over groups ••
#
# *15 minutes.* Two models, the same held-out rows, and the mean of the differences $d_i = a_i - b_i$. But the rows come in $G$ groups, and
# those of one group go together: forty rows of four pumps are nearer to four independent numbers than to forty. Its standard
# error is then taken over groups,
#
# $$ \overline d = \frac1n \sum_i d_i, \qquad S_g = \sum_{i \in g} (d_i - \overline d), \qquad
#    \widehat{\text{se}} = \frac1n \sqrt{\frac{G}{G - 1} \sum_g S_g^2} . $$
#
# Check on paper: with groups of one row each it is the error that you know.
#
# `a`, `b`: `[n]`, in nats; `group`: `[n]`, whole numbers from 0 to G − 1, each at least once, $G \ge 2$ → two tensors without axes, the
# mean and its standard error.
#
# <details><summary>Hint 1</summary>Squares are taken of what may be called independent: not rows here, but what?</details>
# <details><summary>Hint 2</summary>Add up deviations by group: <code>index_add</code>, <code>scatter_add</code>, a product with one-hot rows, or a
# loop.</details>
# <details><summary>Hint 3</summary><code>torch.zeros(G, dtype=d.dtype).index_add(0, group, d - d.mean())</code> holds the S_g.</details>


# %%
def paired_by_group(a: Tensor, b: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    ### BEGIN SOLUTION
    d = a - b
    groups = int(group.max()) + 1
    sums = torch.zeros(groups, dtype=d.dtype).index_add(0, group, d - d.mean())
    return d.mean(), (groups / (groups - 1) * sums.square().sum()).sqrt() / len(d)
    ### END SOLUTION


# %%
check(sheet.paired_by_group, paired_by_group)

# %% [markdown]
# A density of 200 pumps, each read five times, and one of the same pumps read once; the difference on rows of the other hundred. You should see
# that the error over groups is clearly larger than that over rows.


# %%
def around(known: Tensor, x: Tensor, width: float = 0.14) -> Tensor:  # [n] nats
    squares = torch.cdist(x.double(), known.double()).square() / (2 * width**2)
    return (-squares).logsumexp(1) - log(len(known)) - 16 * log(width) - 8 * log(2 * pi)


known, unseen = read_again[:1_000], read_again[1_000:]
a, b = around(known, unseen), around(known[::5], unseen)
mean, error = paired_by_group(a, b, pump[1_000:] - 200)
by_rows = float((a - b).std()) / len(a) ** 0.5
print(f"{float(mean):.3f} nats, ± {float(error):.3f} over pumps, ± {by_rows:.3f} over rows")

# %% [markdown]
# ## · Two kinds of columns, with gaps ••
#
# *20 minutes.* A table holds numbers and answers, yes (1) or no (0), and gaps in both. Given $z$ all columns are independent: numbers
# normal with a σ for each column, answers Bernoulli. Write $\log p(x_o \mid z)$, of what was observed.
#
# `x`: `[batch, a + b]`, first the numbers, then the answers; **at a gap it holds anything**, such as −999 or ∞; `observed`:
# `[batch, a + b]` of bool; `mean`: `[batch, a]`; `log_std`, $\log \sigma$: `[a]`; `logits`: `[batch, b]` → `[batch]`, in nats, 0 for a row in which
# nothing was observed. Gradients to `mean`, `log_std` and `logits` must be finite too.
#
# <details><summary>Hint 1</summary>What does the gradient of <code>torch.where(observed, f(x), 0)</code> do where f(x) is infinite? On
# the way back, 0 · ∞ is NaN.</details>
# <details><summary>Hint 2</summary>Put a number in place of each gap before anything else: <code>torch.where(observed, x, 0.0)</code>. Leave
# its term out at the end.</details>
# <details><summary>Hint 3</summary>An answer has the term <code>x * logits - softplus(logits)</code>. Join the terms of both kinds by
# <code>torch.cat</code>, and sum those observed.</details>


# %%
def log_likelihood_of_two_kinds(
    x: Tensor, observed: Tensor, mean: Tensor, log_std: Tensor, logits: Tensor
) -> Tensor:
    ### BEGIN SOLUTION
    numbers, answers = torch.where(observed, x, 0.0).split([mean.shape[1], logits.shape[1]], 1)
    squares = ((numbers - mean) / log_std.exp()) ** 2
    of_numbers = -0.5 * squares - log_std - 0.5 * log(2 * pi)
    of_answers = answers * logits - softplus(logits)
    return torch.where(observed, torch.cat([of_numbers, of_answers], 1), 0.0).sum(1)
    ### END SOLUTION


# %%
check(sheet.log_likelihood_of_two_kinds, log_likelihood_of_two_kinds)

# %% [markdown]
# Of the pump's sixteen columns, turn the flows into answers: is it high? One normal or Bernoulli a column, fitted by your
# log-likelihood. You should see means and shares near those of what was observed, though three in ten readings are missing.

# %%
flows = torch.where(values[:, 8:].isnan(), torch.nan, (values[:, 8:] > 0.5).float())
x = torch.cat([values[:, :8], flows], 1)
mean, log_std, logits = (torch.zeros(8, requires_grad=True) for _ in range(3))
adam = torch.optim.Adam([mean, log_std, logits], lr=0.1)
for _ in range(60):
    given = mean.expand(len(x), 8), log_std, logits.expand(len(x), 8)
    adam.zero_grad()
    (-log_likelihood_of_two_kinds(x, ~x.isnan(), *given).mean()).backward()
    adam.step()
shown = lambda values: " ".join(f"{value:+.2f}" for value in values.tolist())
print("means  fitted  ", shown(mean), "\n       observed", shown(x[:, :8].nanmean(0)))
print(
    "shares fitted  ", shown(logits.sigmoid()), "\n       observed", shown(x[:, 8:].nanmean(0))
)

# %% [markdown]
# ## · Bits for a reading ••
#
# *15 minutes.* A model was trained on $u_j = (x_j - m_j) / s_j$, and gives $\log p$ of the *scaled* readings that were observed in a row. But a
# file does not hold real numbers: column $j$ was recorded in steps of $\delta_j$ (0.01 bar, say). A level has about the probability
# $p(x_j)\, \delta_j$, with the density of $x_j$ itself. How many **bits for each reading observed** is that, row by row?
#
# `log_p`: `[n]`, in nats, of the scaled readings; `std`, $s$, and `step`, $\delta$, the latter in the units of $x$: `[d]`; `observed`:
# `[n, d]` of bool, one True in each row at least → `[n]`, in bits.
#
# <details><summary>Hint 1</summary>If x = s u, how do the densities of x and of u differ? How often does that count in a row with three readings?</details>
# <details><summary>Hint 2</summary>log P = log p − Σ log s_j + Σ log δ_j, the sums over what was observed.</details>
# <details><summary>Hint 3</summary><code>observed.double() @ std.log()</code> is the first sum. A length is −log P, a bit log 2 nats.</details>


# %%
def bits_per_reading(log_p: Tensor, std: Tensor, step: Tensor, observed: Tensor) -> Tensor:
    ### BEGIN SOLUTION
    seen = observed.double()
    nats = log_p - seen @ std.log() + seen @ step.log()
    return -nats / (seen.sum(1) * log(2))
    ### END SOLUTION


# %%
check(sheet.bits_per_reading, bits_per_reading)

# %% [markdown]
# The same readings in bar and in pascal, in steps of a thousandth of a bar. You should see that the density changes with the unit, and the
# bits do not.

# %%
observed = ~values.isnan()
log_p = Observed(diagonal_normal(torch.zeros(16), 1.0)).log_prob(values).double()
for unit, size in {"bar": 1.0, "pascal": 1e5}.items():
    std, step = size * readings.std(0).double(), size * torch.full((16,), 1e-3).double()
    density = float((log_p - observed.double() @ std.log()).mean())
    bits = float(bits_per_reading(log_p, std, step, observed).mean())
    print(f"{unit:7s} {density:8.1f} nats a row, {bits:.2f} bits a reading")

# %% [markdown]
# ## · An encoder that adds up •••
#
# *25 minutes.* The lecture's encoder reads one vector, with a mask. Here is another, which takes *any set* of readings: each goes through the
# same layer, beside a vector that says which column it came from, and what comes out is added up,
#
# $$ h = \sum_{j \in o} \operatorname{SiLU}\bigl( W [x_j, e_j] + b \bigr), \qquad \text{output} = V h + c , $$
#
# as in the partial VAE of Ma et al. (2019), arXiv:1809.11142. A gap is just not there.
#
# Write the module. `SumOverObserved(columns, names, width, outputs)` learns a vector $e_j$ of `names` numbers for each column, a linear layer
# from $[x_j, e_j]$, the reading first, to `width`, and one from `width` to `outputs`. Its `forward(x, observed)` takes two `[batch, columns]`,
# numbers (**anything at gaps**, also ∞) and bools, and returns `[batch, outputs]`.
#
# <details><summary>Hint 1</summary>The layer works on the last axis: what is [batch, columns, 1 + names] made of?</details>
# <details><summary>Hint 2</summary>The e_j are one <code>nn.Parameter</code>, [columns, names], expanded over the batch and joined to
# <code>x[..., None]</code> by <code>torch.cat</code>.</details>
# <details><summary>Hint 3</summary>Put 0 at gaps before the layer, and multiply by <code>observed[..., None]</code> after SiLU: a reading of 0 is no
# gap, since b and e_j are there.</details>


# %%
class SumOverObserved(nn.Module):
    def __init__(self, columns: int, names: int, width: int, outputs: int) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.names = nn.Parameter(0.5 * torch.randn(columns, names))
        self.shared = nn.Linear(1 + names, width)
        self.out = nn.Linear(width, outputs)
        ### END SOLUTION

    def forward(self, x: Tensor, observed: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        reading = torch.where(observed, x, 0.0)[..., None]  # [batch, columns, 1]
        name = self.names.expand(len(x), *self.names.shape)
        hidden = silu(self.shared(torch.cat([reading, name], -1)))
        return self.out((hidden * observed[..., None]).sum(1))
        ### END SOLUTION


# %%
check(sheet.SumOverObserved, SumOverObserved)

# %% [markdown]
# The pump's table with your encoder in a VAE, beside one that reads a vector and a mask, trained alike. You should see both ahead of
# the columns by themselves (some −16 nats on held-out rows), and after this short training the mask far ahead of the sum.


# %%
class Columns(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tenth = nn.Parameter(torch.full((16,), -0.1))

    def forward(self, mean: Tensor) -> Observed:
        return Observed(diagonal_normal(mean, (10 * self.tenth).exp()))


class Reads(nn.Module):  # readings with NaN at gaps → [batch, 8]
    def __init__(self, network: nn.Module, one_vector: bool) -> None:
        super().__init__()
        self.network, self.one_vector, self.head = network, one_vector, mlp(64, 64, 8)

    def forward(self, x: Tensor) -> Tensor:
        known, observed = x.nan_to_num(0.0), ~x.isnan()
        both = (
            (torch.cat([known, observed.to(x.dtype)], -1),)
            if self.one_vector
            else (known, observed)
        )
        return self.head(silu(self.network(*both)))


encoders = {
    "one vector, with a mask": Reads(nn.Linear(32, 64), True),
    "a sum over what was observed": Reads(SumOverObserved(16, 8, 64, 64), False),
}
for name, encoder in encoders.items():
    vae = VAE(encoder, mlp(4, 64, 64, 16), 4, Columns())
    player = adam_player(lambda x, vae=vae: -elbo(vae, x).value, vae, 1e-2)
    fit([player], Batches(values[:1_200], size=100), epochs=run.epochs(laptop=30))
    found = float(log_evidence(vae, values[1_200:], 300).value.mean())
    print(f"{name:30s} log p of what was observed, held out: {found:.2f} nats")
figure, (axes,) = figures.subplots(1, 1, figsize=(9, 3.5))
with torch.no_grad():
    z = vae.posterior(values).mean
axes.scatter(z[:, 0], z[:, 1], s=8, c=values[:, 0].nan_to_num(0.0), cmap="cividis")
axes.set(title="Codes of rows with gaps", xlabel="latent 1, posterior mean", ylabel="latent 2")
figure
