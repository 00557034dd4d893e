"""The contract table on the pretended device: every call gives there what it gives on the processor, and refuses the same.

python -m tests.devices.contract gpu|apple
"""

from __future__ import annotations

import sys
from itertools import product
from typing import Any

import torch
from torch import Tensor

from tests import test_contract as contract
from tests.devices.pretend import Everywhere, install
from vae_course.evaluation.disentanglement import factor_vae_score, mutual_information_gap
from vae_course.evaluation.features import frechet_distance
from vae_course.evaluation.geometry import principal_angles
from vae_course.evaluation.pictures import structural_similarity
from vae_course.evaluation.ranking import area_under_roc, cluster_accuracy
from vae_course.exact.grids import quantile_grid
from vae_course.exact.linear_gaussian import LinearGaussian, LinearGaussianChain
from vae_course.exact.mixture import NormalMixture
from vae_course.exact.principal_components import PrincipalComponents
from vae_course.objectives.bounds import elbo, iwae
from vae_course.randomness import seeded


def exact_models() -> dict[str, Tensor]:
    """What the exact partners say: linear algebra that the device may lack."""
    x = torch.randn(40, 3)
    linear = LinearGaussian(torch.randn(3, 2), torch.randn(3), 0.5)
    chain = LinearGaussianChain(linear, LinearGaussian(torch.randn(2, 1), torch.zeros(2), 0.7))
    mixture = NormalMixture(torch.tensor([0.4, 0.6]), torch.randn(2, 3), torch.eye(3).expand(2, 3, 3))
    principal = PrincipalComponents(x, 2)
    return {
        "linear: log p(x)": linear.log_evidence(x),
        "linear: ELBO": elbo(linear, x).value,
        "linear: EM": linear.em_step(x).log_evidence(x),
        "linear: best": LinearGaussian.maximum_likelihood(x, 1).log_evidence(x),
        "chain: log p(x)": chain.log_evidence(x),
        "chain: bound": iwae(chain, x, 3),
        "mixture: log p(x)": mixture.log_evidence(x),
        "mixture: EM": mixture.em_step(x).log_evidence(x),
        "principal components": principal(x),
        "quantile grid": quantile_grid(5),
    }


def measures() -> dict[str, Tensor]:
    """What the measures say of sets on the device."""
    a, b, images = torch.randn(60, 3), torch.randn(60, 3), torch.rand(4, 1, 12, 12)
    factors, labels = torch.arange(60)[:, None] % torch.tensor([2, 3]), torch.arange(60) % 3
    found: dict[str, Any] = {
        "Fréchet": frechet_distance(a, b),
        "angles": principal_angles(a[:3, :1], b[:3, :2]),
        "gap": mutual_information_gap(a, factors),
        "FactorVAE": factor_vae_score(a, factors, torch.Generator().manual_seed(0)),
        "similarity": structural_similarity(images, images.flip(0)),
        "ROC": area_under_roc(a[:, 0], labels == 0).value,
        "clusters": cluster_accuracy(labels, labels.roll(1)),
    }
    return {name: value if isinstance(value, Tensor) else torch.tensor(value) for name, value in found.items()}


def everything(device: torch.device) -> dict[tuple[str, ...], Tensor | str]:
    """The outcome of every cell and call on a device, on the processor afterwards; a refusal by its type."""
    outcomes: dict[tuple[str, ...], Tensor | str] = {}
    contract.cell.cache_clear()
    with device:
        for kind, prior, view in contract.CELLS:
            if view == "a posterior's view":  # which the view of views has in it
                continue
            model, x = contract.cell(kind, prior, view), contract.pictures()
            for (name, call), grads in product(contract.CALLS.items(), (False, True)):
                if grads and name not in ("elbo", "iwae"):
                    continue
                key = (kind, prior, view, name, "with gradients" if grads else "")
                with seeded(1), torch.set_grad_enabled(grads):
                    try:
                        made = torch.as_tensor(call(model, x))
                        if grads:
                            made.sum().backward()
                        if name in ("elbo", "iwae", "log_weights") and made.device.type != device.type:
                            outcomes[key] = f"the result of {name} is on {made.device}"
                            continue
                        outcomes[key] = made.detach().cpu()
                    except (NotImplementedError, TypeError, ValueError, RuntimeError) as error:
                        outcomes[key] = type(error).__name__
        for make in (exact_models, measures):
            with seeded(2):
                outcomes |= {(make.__name__, name): value.detach().cpu() for name, value in make().items()}
    return outcomes


def main(kind: str) -> int:
    """Print what differs, and how much was compared; the number of differences."""
    contract.REAL = torch.float32
    device = install(kind)  # first: autograd looks for devices once, when it is first used
    with Everywhere():
        found = everything(device)
    wanted = everything(torch.device("cpu"))
    differing = [key for key, value in wanted.items() if not _alike(value, found[key])]
    for key in differing:
        print(*filter(None, key), "here:", _short(wanted[key]), "there:", _short(found[key]))
    print(f"{kind}: {len(wanted) - len(differing)} of {len(wanted)} outcomes are as on the processor")
    return len(differing)


def _alike(a: Tensor | str, b: Tensor | str) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return a == b if isinstance(a, str) and isinstance(b, str) else False
    return a.shape == b.shape and torch.allclose(a.float(), b.float(), rtol=1e-3, atol=1e-3)


def _short(outcome: Tensor | str) -> str:
    return outcome if isinstance(outcome, str) else str(outcome.flatten()[:3].tolist())


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1]), 1))
