"""Principal component analysis, the exact partner of the linear autoencoder."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from vae_course.processor import on_processor


class PrincipalComponents(nn.Module):
    """The affine map to `code` dimensions and back that has the least squared error on the data it is fitted to.

    Eckart & Young, 1936. A partner of the linear autoencoder, with the same `encode` and `decode`.
    """

    mean: Tensor
    components: Tensor

    def __init__(self, x: Tensor, code: int) -> None:
        """Fit to x: [n, *event]. Raises ValueError unless 1 <= code <= min(n, event size)."""
        super().__init__()
        flat = x.flatten(1)
        if not 1 <= code <= min(flat.shape):
            raise ValueError(f"{code} components were asked of {flat.shape[0]} points in {flat.shape[1]} dimensions.")
        self.event = tuple(x.shape[1:])
        self.register_buffer("mean", flat.mean(0))
        _, _, directions = on_processor(partial(torch.linalg.svd, full_matrices=False), flat - self.mean)
        self.register_buffer("components", directions[:code].T.contiguous())  # [event size, code], orthonormal

    def encode(self, x: Tensor) -> Tensor:
        """[batch, *event] → [batch, code]."""
        code: Tensor = (x.flatten(1) - self.mean) @ self.components
        return code

    def decode(self, code: Tensor) -> Tensor:
        """[batch, code] → [batch, *event]."""
        flat: Tensor = code @ self.components.T + self.mean
        images: Tensor = flat.unflatten(-1, self.event)
        return images

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction decode(encode(x))."""
        return self.decode(self.encode(x))
