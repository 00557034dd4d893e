"""Interactive pictures. Each is a tested function of plain values, a few controls, and a static picture.

Where a kernel runs, the controls move the picture; where none does (a preview, a printed page), the notebook shows
the picture stored beside them.
"""

from vae_course.widgets.choices import codebook_explorer, temperature_explorer
from vae_course.widgets.codes import bottleneck_slider, code_explorer
from vae_course.widgets.convolution import filter_pad
from vae_course.widgets.denoising import denoising_explorer
from vae_course.widgets.drawing import drawing_pad
from vae_course.widgets.inference import elbo_bar, gradient_clouds, kl_directions
from vae_course.widgets.interactive import Interactive
from vae_course.widgets.latents import class_and_style_explorer, traversal_explorer
from vae_course.widgets.layouts import beam_explorer, draw_layout
from vae_course.widgets.likelihoods import likelihood_explorer
from vae_course.widgets.self_test import self_test

__all__ = [
    "Interactive",
    "beam_explorer",
    "bottleneck_slider",
    "class_and_style_explorer",
    "code_explorer",
    "codebook_explorer",
    "denoising_explorer",
    "draw_layout",
    "drawing_pad",
    "elbo_bar",
    "filter_pad",
    "gradient_clouds",
    "kl_directions",
    "likelihood_explorer",
    "self_test",
    "temperature_explorer",
    "traversal_explorer",
]
