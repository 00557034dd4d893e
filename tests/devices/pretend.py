"""A pretended accelerator: tensors that live on the processor and say that they live elsewhere.

It refuses what an accelerator refuses: operations on tensors of two devices, a generator of another device, NumPy on its
tensors. The kind `apple` refuses float64 and some linear algebra besides, as Apple's does. It counts how often the
processor waits for it. It is made with torch's own means for a new device (PrivateUse1, torch >= 2.9), for good: a process
that has called `install` keeps it.

    python -m tests.devices.pretend gpu elbo            run the code of a lecture with it as the accelerator
    python -m tests.devices.pretend gpu elbo solution   of its sheet's solution
    python -m tests.devices.pretend apple               run every lecture and solution, one line each
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

from tests.devices import too_old
from vae_course.course.build import from_source
from vae_course.course.sources import Target, targets

NAME = "pretend"
ops = torch.ops.aten
READS = {ops._local_scalar_dense.default, ops.equal.default, ops.nonzero.default, ops.is_nonzero.default}
COPIES = {ops._to_copy.default, ops.copy_.default, ops.lift_fresh.default, ops.lift_fresh_copy.default}
INDEXED = {ops.index.Tensor, ops.index_put.default, ops.index_put_.default, ops._index_put_impl_.default}
LACKING = (  # what Apple's device does not have, or had not for years
    "linalg_cholesky", "cholesky", "linalg_eigh", "linalg_eig", "linalg_svd", "linalg_eigvals", "linalg_qr", "linalg_lstsq",
    "special_ndtri", "geqrf", "digamma", "_linalg_eigh", "_linalg_svd", "linalg_cholesky_ex",
)  # fmt: skip


class Kind(NamedTuple):
    """What a kind of device has."""

    double: bool
    lacking: tuple[str, ...]


KINDS = {"gpu": Kind(True, ()), "apple": Kind(False, LACKING)}


class RefusedError(RuntimeError):
    """What a device would refuse."""


class State:
    """Of the one device of this process: its kind, how often it was waited for, and its generators."""

    kind = KINDS["gpu"]
    waits: ClassVar[Counter[str]] = Counter()
    generators: ClassVar[dict[int, Any]] = {}  # by the address of the C++ object, which keeps them alive


class Backend:
    """What torch asks of a device's module."""

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed(self, seed: int) -> None:
        pass

    manual_seed_all = manual_seed

    def synchronize(self, device: object = None) -> None:
        State.waits["synchronize"] += 1

    def get_rng_state(self, device: object = None) -> Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: Tensor, device: object = None) -> None:
        torch.set_rng_state(state)

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


class There(Tensor):
    """A tensor of the pretended device around one of the processor."""

    elem: Tensor

    @staticmethod
    def __new__(cls, elem: Tensor) -> There:
        made: There = Tensor._make_wrapper_subclass(
            cls, elem.size(), strides=elem.stride(), storage_offset=elem.storage_offset(), dtype=elem.dtype,
            layout=elem.layout, device=torch.device(NAME, 0), requires_grad=elem.requires_grad,
        )  # fmt: skip
        made.elem = elem.detach() if elem.requires_grad else elem
        return made

    def __init__(self, elem: Tensor) -> None:
        pass

    def __repr__(self, *, tensor_contents: Any = None) -> Any:  # type: ignore[override]
        return f"There({self.elem!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return dispatch(func, args, kwargs or {})

    def numpy(self, *, force: bool = False) -> Any:
        if force:
            return self.detach().cpu().numpy()
        raise TypeError(
            f"can't convert {NAME}:0 device type tensor to numpy. Use Tensor.cpu() to copy it to host memory first."
        )

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.numpy()

    def __format__(self, spec: str) -> str:
        return self.item().__format__(spec) if self.dim() == 0 else object.__format__(self, spec)

    def tolist(self) -> Any:
        return self.detach().cpu().tolist()


class Everywhere(TorchDispatchMode):
    """Sends every operation of the process through `dispatch`, also those that make tensors from nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatch(func, args, kwargs or {})


def dispatch(func: Any, args: Any, kwargs: Any) -> Any:
    """One operation: refused, or done on the processor and its result put where it belongs."""
    leaves = tree_leaves((args, kwargs))
    there = [leaf for leaf in leaves if isinstance(leaf, There)]
    here = [leaf for leaf in leaves if isinstance(leaf, Tensor) and not isinstance(leaf, There)]
    device = kwargs.get("device")
    goes_there = device is not None and torch.device(device).type == NAME
    refuse(func, args, there, here, leaves, goes_there)
    count(func, args, kwargs, there)
    plain_args, plain = tree_map_only(There, lambda t: t.elem, (args, kwargs))
    if "device" in plain and goes_there:
        plain = {**plain, "device": torch.device("cpu")}
    made = func(*plain_args, **plain)
    if func is ops.copy_.default:
        return args[0]
    if func is ops._to_copy.default:
        if not (goes_there or (device is None and isinstance(args[0], There))):
            return made.clone() if made is plain_args[0] else made
        return wrapped(made.clone() if made is plain_args[0] else made)
    if func in (ops._local_scalar_dense.default, ops.equal.default, ops.is_same_size.default) or not (
        there or goes_there
    ):
        return made
    if (device is not None and not goes_there) or (func in INDEXED and not isinstance(args[0], There)):
        return made
    return return_and_correct_aliasing(func, args, kwargs, tree_map_only(Tensor, wrapped, made))


def wrapped(made: Tensor) -> Tensor:
    """A result as a tensor of the device. Raises TypeError for float64 where the device has none."""
    if isinstance(made, There):
        return made
    if not State.kind.double and made.dtype in (torch.float64, torch.complex128):
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")
    return There(made)


def refuse(func: Any, args: Any, there: list[There], here: list[Tensor], leaves: list[Any], goes_there: bool) -> None:
    """Raise RefusedError for what the device would refuse."""
    name = func.overloadpacket.__name__
    if there and name.rstrip("_") in State.kind.lacking:
        raise RefusedError(f"The operator 'aten::{name}' is not implemented for the device {NAME}.")
    mixed = any(t.ndim > 0 for t in here) and func not in COPIES and func not in INDEXED
    if there and (mixed or (here and func in (ops.cat.default, ops.stack.default))):
        shapes = [list(t.shape) for t in here]
        raise RefusedError(
            f"Expected all tensors to be on the same device, but {func} met {NAME} and cpu, shapes {shapes}"
        )
    if func is ops.index.Tensor and there and not isinstance(args[0], There):
        raise RefusedError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
    for leaf in leaves:
        if isinstance(leaf, torch._C.Generator):
            own = id_of(leaf) in State.generators
            if own != (bool(there) or goes_there):
                raise RefusedError(
                    f"Expected a generator of the other device: {func} runs {'here' if own else 'there'}"
                )


def count(func: Any, args: Any, kwargs: Any, there: list[There]) -> None:
    """Note where the processor has to wait for the device."""
    if not there:
        return
    leaves_device = func is ops._to_copy.default and kwargs.get("device") is not None
    if func in READS or (leaves_device and torch.device(kwargs["device"]).type != NAME):
        State.waits[func.overloadpacket.__name__] += 1
    if func in INDEXED and any(isinstance(i, Tensor) and i.dtype == torch.bool for i in tree_leaves(args[1])):
        State.waits["index by a mask"] += 1
    if func is ops.copy_.default and not isinstance(args[0], There):
        State.waits["copy to the processor"] += 1


def id_of(generator: Any) -> int:
    """What stays the same for one generator."""
    address: int = generator._cdata
    return address


def install(kind: str) -> torch.device:
    """Register the device with torch and make it the accelerator; returns it. Raises KeyError for another kind."""
    State.kind = KINDS[kind]
    backend_registration._setup_privateuseone_for_python_backend(NAME, Backend())
    real = torch.Generator

    class Generator(real):  # type: ignore[misc, valid-type]
        def __new__(cls, device: Any = "cpu") -> Any:
            made = real.__new__(cls, "cpu")  # type: ignore[call-arg]
            if torch.device(device).type == NAME:
                State.generators[id_of(made)] = made
            return made

        def __init__(self, device: Any = "cpu") -> None:
            pass

        @property
        def device(self) -> torch.device:
            return torch.device(NAME, 0) if id_of(self) in State.generators else torch.device("cpu")

    torch.Generator = Generator  # type: ignore[misc]
    State.library = torch.library.Library("_", "IMPL")  # type: ignore[attr-defined]
    State.library.fallback(lambda op, *args, **kwargs: dispatch(op, args, kwargs), "PrivateUse1")  # type: ignore[attr-defined]
    torch._C._set_only_lift_cpu_tensors(True)
    torch.accelerator.is_available = lambda: True
    torch.accelerator.current_accelerator = lambda check_available=False: torch.device(NAME)
    torch.accelerator.device_count = lambda: 1
    return torch.device(NAME, 0)


@contextlib.contextmanager
def waiting() -> Iterator[Counter[str]]:
    """How often the processor waited for the device inside a `with` block, by operation."""
    State.waits.clear()
    yield State.waits


def run_notebook(target: Target, kind: str, batches: int = 3) -> list[str]:
    """Run the code of a notebook, each training cut to a few batches an epoch; the claims that do not hold then."""
    os.environ.update(VAE_COURSE_BUDGET="0.001", VAE_COURSE_CHECKING="1", MPLBACKEND="agg")
    os.environ.pop("VAE_COURSE_DEVICE", None)
    install(kind)
    from vae_course.data.batches import Batches
    from vae_course.notebook import claims

    fallen: list[str] = []

    def note(sentence: str, holds: object, **shown: object) -> None:
        if not bool(holds):
            fallen.append(sentence)

    whole = Batches.__iter__
    claims.claim = note
    Batches.__iter__ = lambda self: islice(whole(self), batches)  # type: ignore[method-assign]
    namespace: dict[str, Any] = {"__name__": "__main__", "display": lambda *shown: None}
    with contextlib.chdir(target.path.parent), Everywhere():
        for cell in from_source(target).cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, target.path.name, "exec"), namespace)
    return fallen


def run_all(kind: str) -> int:
    """Run every lecture and solution in a process of its own, two at once, and print a line for each; how many failed."""

    def line(target: Target) -> tuple[bool, str]:
        began, arguments = time.perf_counter(), [kind, target.lecture.name, target.kind.name.lower()]
        ran = subprocess.run(
            [sys.executable, "-m", "tests.devices.pretend", *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "QUIET": "1", "OMP_NUM_THREADS": "1"},
        )
        said = (ran.stdout if ran.returncode == 0 else ran.stderr).strip().splitlines() or ["died"]
        name = f"{kind:6s} {target.path.stem:34s} {target.kind.name.lower():9s}"
        verdict = "ok" if ran.returncode == 0 else "FAILED"
        return ran.returncode == 0, f"{name}{verdict:7s}{time.perf_counter() - began:5.0f} s  {said[-1][:150]}"

    failed = 0
    with ThreadPoolExecutor(2) as two:
        for fine, text in two.map(line, [target for target in targets() if target.executed]):
            failed += not fine
            print(text, flush=True)
    return failed


def main(kind: str, name: str | None = None, which: str = "lecture") -> int:
    """Run one notebook in this process, or all, each in a process of its own; how many failed."""
    if why := too_old():
        sys.exit(f"{why[0].upper()}{why[1:]}.")
    if name is None:
        return run_all(kind)
    (target,) = (t for t in targets() if (t.lecture.name, t.kind.name.lower()) == (name, which))
    with contextlib.redirect_stdout(io.StringIO()) if os.environ.get("QUIET") else contextlib.nullcontext():
        fallen = run_notebook(target, kind)
    print(f"{len(fallen)} claims do not hold after so short a training")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
