"""Interactive pictures. Each is a tested function of plain values, a few controls, and a static picture.

Where a kernel runs, the controls move the picture; where none does (a preview, a printed page), the notebook shows
the picture stored beside them.
"""

from vae_course.widgets.codes import bottleneck_slider, code_explorer
from vae_course.widgets.drawing import drawing_pad
from vae_course.widgets.inference import elbo_bar, gradient_clouds, kl_directions
from vae_course.widgets.interactive import Interactive

__all__ = [
    "Interactive",
    "bottleneck_slider",
    "code_explorer",
    "drawing_pad",
    "elbo_bar",
    "gradient_clouds",
    "kl_directions",
]
