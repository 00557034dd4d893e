"""The plain autoencoder: a function to a code and a function back. It has no probabilities, hence no nats."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vae_course.networks.multilayer import image_mlps
from vae_course.refusals import refuse_no_tensor


class Autoencoder(nn.Module):
    """`encode`: x → code, `decode`: code → reconstruction, of the shape of x."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def encode(self, x: Tensor) -> Tensor:
        """[batch, *image] → [batch, code]."""
        return self.encoder(x)  # type: ignore[no-any-return]

    def decode(self, code: Tensor) -> Tensor:
        """[batch, code] → [batch, *image]."""
        return self.decoder(code)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction decode(encode(x))."""
        return self.decode(self.encode(x))


def mlp_autoencoder(
    image: Sequence[int], hidden: Sequence[int], code: int, activation: type[nn.Module] = nn.SiLU
) -> Autoencoder:
    """An autoencoder of two mirrored MLPs with a linear output; `hidden=()` makes it linear."""
    return Autoencoder(*image_mlps(image, hidden, code, outputs=code, activation=activation))


def squared_error(reconstruction: Tensor, x: Tensor) -> Tensor:
    """‖x − x̂‖², summed over the pixels of each picture: [batch, *image] twice → [batch]. No unit of probability.

    Raises ValueError if the shapes differ, so that nothing is broadcast in silence.
    """
    refuse_no_tensor("squared_error", x)
    if reconstruction.shape != x.shape:
        raise ValueError(f"A reconstruction {list(reconstruction.shape)} was compared with pictures {list(x.shape)}.")
    return (x - reconstruction).square().flatten(1).sum(-1)
