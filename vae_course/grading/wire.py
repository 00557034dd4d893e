"""Messages over a pipe: words, numbers, lists, dictionaries and tensors as data. Nothing in them runs when they are read."""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

import torch
from safetensors.torch import load, save
from torch import Tensor

MOST = 256 * 2**20  # bytes of one message
WORDS = 16 * 2**20  # of these, what is no tensor
HEAD = struct.Struct("<QQ")


class WireError(RuntimeError):
    """What came over the pipe is no message, or too large."""


def send(stream: BinaryIO, message: Any) -> None:
    """Write a message. Raises WireError for one that is too large, TypeError for what is no data."""
    tensors: dict[str, Tensor] = {}
    words = json.dumps(_without_tensors(message, tensors)).encode()
    numbers = save(tensors) if tensors else b""
    if len(words) + len(numbers) > MOST:
        raise WireError(f"a message of {(len(words) + len(numbers)) // 2**20} MiB; the most is {MOST // 2**20}")
    stream.write(HEAD.pack(len(words), len(numbers)) + words + numbers)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """The next message; lists stand for tuples. Raises EOFError at the end of the stream, WireError for anything else."""
    lengths = HEAD.unpack(_exactly(stream, HEAD.size))
    if sum(lengths) > MOST or lengths[0] > WORDS:
        raise WireError("a message that is too large")
    words, numbers = (_exactly(stream, length) for length in lengths)
    try:
        tensors = load(numbers) if numbers else {}
        return _with_tensors(json.loads(words), tensors)
    except (ValueError, KeyError, RuntimeError, RecursionError) as error:
        raise WireError(f"no message: {error}") from error
    except Exception as error:  # safetensors has an exception of its own
        raise WireError(f"no tensors: {error}") from error


def _exactly(stream: BinaryIO, length: int) -> bytes:
    found = b""
    while len(found) < length:
        more = stream.read(length - len(found))
        if not more:
            raise EOFError
        found += more
    return found


def _without_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = torch.empty_like(value, device="cpu", memory_format=torch.contiguous_format).copy_(
            value.detach()
        )
        return {"tensor": name}
    if isinstance(value, tuple | list):
        return [_without_tensors(item, tensors) for item in value]
    if isinstance(value, dict):
        return {"entries": [[key, _without_tensors(item, tensors)] for key, item in value.items()]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} is no data")


def _with_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_with_tensors(item, tensors) for item in value]
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {key: _with_tensors(item, tensors) for key, item in value["entries"]}
    return value
