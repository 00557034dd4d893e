"""What a refusal says: shared by the tests of bad input."""

from __future__ import annotations

from collections.abc import Callable

import pytest


def message(call: Callable[[], object]) -> str:
    """The message of the ValueError that the call raises, which must be one line."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the caller looks at the message
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)
