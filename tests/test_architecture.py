"""The structure of the package, read from its imports: floors, what an objective may know, what an import costs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import vae_course

PACKAGE = Path(vae_course.__file__).parent
FLOORS = [
    ["output", "processor", "progress", "randomness", "refusals", "threads"],
    ["data", "distributions", "networks"],
    ["training"],
    ["objectives", "models"],
    ["exact"],
    ["inference"],
    ["evaluation"],
    ["checkpoints", "studies"],
    ["notebook", "exercises"],
    ["grading"],
    ["course"],
]
FLOOR = {unit: number for number, units in enumerate(FLOORS) for unit in units}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def name(path: Path) -> str:
    """`models/vae.py` of the package."""
    return path.relative_to(PACKAGE).as_posix()


def unit(path: Path) -> str:
    """The file or subfolder on a floor that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it: `vae_course.data.images`, `torch`, …

    `from vae_course import runtime` counts as `vae_course.runtime`; `__version__` is no module.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)} has a relative import"
            assert node.module is not None
            if node.module == "vae_course":
                found |= {f"vae_course.{alias.name}" for alias in node.names if alias.name != "__version__"}
            else:
                found.add(node.module)
    return found


def imported_units(path: Path) -> set[str]:
    """The units of the package that a file imports, its own subfolder not counted."""
    modules = (module.split(".") for module in imports(path))
    units = {parts[1] for parts in modules if parts[0] == "vae_course"}
    return units - {unit(path)} if path.parent != PACKAGE else units


def test_every_file_has_its_floor() -> None:
    assert {unit(path) for path in FILES} <= set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_imports_only_from_floors_below_its_own(path: Path) -> None:
    own = FLOOR[unit(path)]
    too_high = sorted(other for other in imported_units(path) if FLOOR[other] >= own)
    assert not too_high, f"{name(path)} is on floor {own} and imports {', '.join(too_high)}"


def test_objectives_know_no_network_and_no_model() -> None:
    for path in sorted((PACKAGE / "objectives").glob("*.py")):
        assert imported_units(path) <= {"distributions", *FLOORS[0]}
        assert not {module for module in imports(path) if module.startswith("torch.nn")}
        names = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name | ast.Attribute)]
        assert not [node for node in names if "nn" in ast.dump(node).split("'")]


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "__init__.py"], ids=name)
def test_the_face_of_a_room_is_a_map_of_its_files_and_nothing_else(path: Path) -> None:
    """One convention: a name is imported from the file that defines it."""
    (only,) = ast.parse(path.read_text()).body
    assert isinstance(only, ast.Expr)
    room = {other.stem for other in path.parent.iterdir() if other.suffix == ".py" or other.is_dir()}
    missing = [other for other in room if not other.startswith("__") and other not in path.read_text()]
    assert not missing or path.parent.name in ("sheets", "checkpoints")


def test_networks_know_no_probability() -> None:
    for path in (PACKAGE / "networks").glob("*.py"):
        assert not {module for module in imports(path) if "distributions" in module}, name(path)


@pytest.mark.parametrize("path", [PACKAGE / "__init__.py", *FILES], ids=name)
def test_no_file_names_a_path_outside_the_project(path: Path) -> None:
    text = path.read_text()
    assert not [word for word in ("/work", "shared/", "DESIGN.md", "MISTAKES.md", "/home/", "/root") if word in text]


def test_importing_the_package_costs_nothing() -> None:
    program = (
        "import json, sys; before = set(sys.modules); import vae_course; "
        "print(json.dumps([vae_course.__version__, sorted(set(sys.modules) - before)]))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    version, loaded = json.loads(ran.stdout)
    assert version == vae_course.__version__
    assert {module.partition(".")[0] for module in loaded} - set(sys.stdlib_module_names) == {"vae_course"}


def test_the_map_of_the_package_names_every_unit() -> None:
    docstring = ast.get_docstring(ast.parse((PACKAGE / "__init__.py").read_text()))
    assert docstring is not None
    missing = [path for path in FILES if unit(path) not in docstring]
    assert not missing, f"the docstring of vae_course does not name {', '.join(map(name, missing))}"
