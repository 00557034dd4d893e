"""A picture that follows its controls where a kernel runs, and stands still where none does."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets
from matplotlib.figure import Figure

from vae_course.notebook.figures import to_png

Draw = Callable[..., Figure]


class Interactive(ipywidgets.VBox):  # type: ignore[misc]
    """Controls above a picture that follows them; `picture.value` holds it as PNG."""

    def __init__(self, draw: Draw, controls: Mapping[str, Any], layout: ipywidgets.Widget | None = None) -> None:
        """draw(**values) makes the picture; each control's `value` is passed under its key."""
        self.draw, self.controls = draw, dict(controls)
        self.picture = ipywidgets.Image(format="png", value=self.render())
        self.picture.add_class("vae-course-picture")
        for control in self.controls.values():
            control.observe(self.refresh, names="value")
        super().__init__([layout or ipywidgets.HBox(list(self.controls.values())), self.picture])

    def render(self) -> bytes:
        """The picture for the present values, as PNG."""
        return to_png(self.draw(**{name: control.value for name, control in self.controls.items()}))

    def refresh(self, change: object = None) -> None:
        """Draw anew after a control has moved."""
        self.picture.value = self.render()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle = super()._repr_mimebundle_(**options)
        data = dict(bundle[0] if isinstance(bundle, tuple) else bundle)
        return {**data, "image/png": b64encode(self.picture.value).decode()}


def slider(low: float, high: float, value: float, name: str, step: float = 0.1) -> ipywidgets.FloatSlider:
    """A slider that is wide enough to be moved by hand."""
    wide = ipywidgets.Layout(width="26em")
    return ipywidgets.FloatSlider(value, min=low, max=high, step=step, description=name, layout=wide)
