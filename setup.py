"""What pyproject.toml cannot say: where the packages lie, and how the extension modules are built.

The kernels are compiled once for each instruction set level; `graphc.kernels.cpu` chooses among them when imported.
`GRAPHC_BUILD_LEVELS="baseline,avx2"` builds some levels only, for a faster development cycle.
"""

import importlib
import os
import platform
import sys
from pathlib import Path
from types import ModuleType

import numpy
from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

INCLUDE = "kernels/cpu/include"


def write_tile_ops() -> None:
    """Write the header that follows from the records of scalar ops, where it is another one than lies there."""
    package = ModuleType("graphc")  # not the package itself, which needs what is built here
    package.__path__ = [str(Path(__file__).parent / "graphc")]
    sys.modules["graphc"] = package
    text = importlib.import_module("graphc.scalar.tile").header()
    path = Path(INCLUDE) / "graphc" / "tile_ops.h"
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


write_tile_ops()
HEADERS = sorted(str(path) for path in Path(INCLUDE).rglob("*.h"))
STEP_HEADERS = [f"{INCLUDE}/graphc/{name}.h" for name in ("execute", "isa", "launch", "step", "threads")]

# Each is safe alone, unlike -ffast-math: no errno, no traps; contraction is stated so that bits do not depend on it.
# Loops begin with a line of the instruction cache, so that their speed does not depend on what stands before them.
# Where control leaves a function that should answer, compilers put a trap or nothing at all.
FLAGS = ["-O3", "-g0", "-std=c11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]
FLAGS += ["-falign-loops=64", "-Wno-unused-function", "-Werror=return-type", "-Werror=implicit-function-declaration"]

LEVELS = {"baseline": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    LEVELS["avx2"] = ["-march=x86-64-v3"]
    LEVELS["avx512"] = ["-march=x86-64-v4", "-mprefer-vector-width=512"]
CHOSEN = [level for level in os.environ.get("GRAPHC_BUILD_LEVELS", ",".join(LEVELS)).split(",") if level in LEVELS]

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "embedsignature": True,
}


def extension(name: str, source: str, depends: list[str], level: str = "baseline") -> Extension:
    """One extension module over the headers it depends on, compiled for an instruction set level."""
    return Extension(
        name,
        [source],
        include_dirs=[INCLUDE, str(Path(source).parent), numpy.get_include()],
        define_macros=[
            ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
            ("_GNU_SOURCE", None),
            ("GC_LEVEL", f'"{level}"'),
        ],
        extra_compile_args=[*FLAGS, *LEVELS[level]],
        extra_link_args=["-pthread"],
        depends=[*depends, "setup.py"],  # its flags
    )


EXTENSIONS = [
    *(extension(f"graphc.kernels.cpu.{level}", f"kernels/cpu/{level}.pyx", HEADERS, level) for level in CHOSEN),
    extension("graphc.kernels.cpu.features", "kernels/cpu/features.pyx", [f"{INCLUDE}/graphc/features.h"]),
    extension("graphc.memory.simulator", "graphc/memory/simulator.pyx", []),
    extension("graphc.runtime.executor", "graphc/runtime/executor.pyx", [*STEP_HEADERS, "graphc/runtime/execute.pxd"]),
    extension("graphc.runtime.binding", "graphc/runtime/binding.pyx", []),
    extension("graphc.runtime.dlpack", "graphc/runtime/dlpack.pyx", []),
    extension("graphc.memory.search", "graphc/memory/search.pyx", ["graphc/memory/search.h"]),
]


class ParallelBuild(build_ext):
    """Builds the extension modules side by side."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()


setup(
    packages=[
        "graphc",
        *(f"graphc.{package}" for package in find_packages("graphc")),
        "graphc.kernels",
        *(f"graphc.kernels.{package}" for package in find_packages("kernels")),
    ],
    package_dir={"graphc": "graphc", "graphc.kernels": "kernels"},
    package_data={
        "graphc": ["py.typed", "docs/*.md"],
        "graphc.examples": ["*.c"],
        "graphc.runtime": ["*.pxd", "*.pyi", "*.pyx"],
        "graphc.memory": ["*.h", "*.pyi", "*.pyx"],
        "graphc.kernels.cpu": ["*.pyx", "include/graphc/*.h"],
    },
    ext_modules=cythonize(EXTENSIONS, build_dir="build/cython", compiler_directives=DIRECTIVES),
    cmdclass={"build_ext": ParallelBuild},
    zip_safe=False,
)
