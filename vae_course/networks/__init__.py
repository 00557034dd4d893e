"""Networks: tensors in, tensors out. They know no probability; models take them as arguments."""

from vae_course.networks.convolutional import (
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    convolutional_networks,
    receptive_field,
)
from vae_course.networks.multilayer import FromImages, ToImages, count_parameters, image_mlps, mlp

__all__ = [
    "ConvolutionalDecoder",
    "ConvolutionalEncoder",
    "FromImages",
    "ToImages",
    "convolutional_networks",
    "count_parameters",
    "image_mlps",
    "mlp",
    "receptive_field",
]
