"""C of one dtype and with one prefix: its numbers and arrays, and the functions that it calls, from functions.c."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from kernels.derive.adjoint import Language
from kernels.schedules.cpu.library import REAL

DEFINED = re.compile(r"^(?:NAME_INLINE|static) .*?NAME_(\w+)\(", re.MULTILINE)
LN2 = {torch.float32: (0.693359375, -2.12194440054690582e-4), torch.float64: (0.693147180369123816490, 1.90821492927058770002e-10)}
"""ln 2 in two parts; the first has so few bits that its multiples are exact."""
PER_LINE = 8
COLUMN_BYTES = 256
"""Bytes of a column of the largest panel: about what the vector registers hold."""


@dataclass(frozen=True)
class CDialect:
    """C of one dtype, in which every global name begins with a prefix.

    Attributes:
        name: the prefix, without its underscore.
        dtype: float32 or float64.
    """

    name: str
    dtype: torch.dtype

    @property
    def real(self) -> str:
        """Returns the C type."""
        return REAL[self.dtype]

    def write_numbers(self, values: Tensor) -> list[str]:
        """Writes the elements of a tensor: the shortest decimals that are read back as they are."""
        suffix = "f" if self.dtype == torch.float32 else ""
        texts = values.detach().to("cpu", self.dtype).flatten().numpy().astype(str).tolist()
        special = {"nan": "NAN", "inf": "INFINITY", "-inf": "-INFINITY"}
        return [special.get(text) or text + suffix for text in texts]

    def write_array(self, label: str, values: Tensor) -> str:
        """Writes a constant array of the elements of a tensor."""
        numbers = self.write_numbers(values)
        rows = ",\n    ".join(", ".join(numbers[k : k + PER_LINE]) for k in range(0, len(numbers), PER_LINE))
        return f"static const {self.real} {self.name}_{label}[{len(numbers)}] = {{\n    {rows}\n}};\n"

    @property
    def panels(self) -> tuple[int, ...]:
        """Returns the numbers of rows of the panels that a matrix is stored in, largest first."""
        largest = COLUMN_BYTES // self.dtype.itemsize
        return largest, largest // 2, largest // 4, largest // 8

    @property
    def language(self) -> Language:
        """Returns the language of `print_source`: a function has an argument for each input, and one for where to write its outputs."""

        def write_function(function: str, inputs: list[str], lines: list[tuple[str, str]], outputs: list[str]) -> str:
            parameters = ", ".join([*(f"{self.real} {v}" for v in inputs), f"{self.real} *out"])
            body = [f"const {self.real} {target} = {value};" for target, value in lines]
            body += [f"out[{k}] = {value};" for k, value in enumerate(outputs)]
            return f"{self.name}_INLINE void {self.name}_{function}({parameters})\n{{\n    " + "\n    ".join(body) + "\n}\n"

        def write_number(value: float) -> str:
            return self.write_numbers(torch.tensor(value, dtype=torch.float64))[0]

        values = "u_" if self.name.startswith("v") else "v_"  # so that no value is called what a function is
        return Language(values, write_number, write_function, f"{self.name}_")

    def functions(self, source: str) -> str:
        """Returns the functions of functions.c that a source calls, and those that they call, in order."""
        found: dict[str, str] = {}

        def add(label: str) -> None:
            name, rows = re.sub(r"(?<=multiply_)\d+", "ROWS", label), label.rpartition("_")[2]
            if name in templates() and label not in found:
                text = self.make_function(templates()[name].replace("ROWS", rows))
                for called in self.list_calls(text):
                    if called != label:
                        add(called)
                found[label] = text

        for label in self.list_calls(source):
            add(label)
        return "\n".join(found.values())

    def list_calls(self, source: str) -> list[str]:
        """Returns the functions that a source calls, without their prefix."""
        return re.findall(rf"\b{self.name}_(\w+)\(", source)

    def make_function(self, template: str) -> str:
        """Returns a function of functions.c with its names, its type and its constants filled in."""
        single = self.dtype == torch.float32
        mantissa, bias = (23, 127) if single else (52, 1023)
        constants = {
            "LIMIT": repr(bias * math.log(2)), "MANTISSA": str(mantissa), "BIAS": str(bias),
            "LN2_HIGH": repr(LN2[self.dtype][0]), "LN2_LOW": repr(LN2[self.dtype][1]),
            "SCALE": f"{2.0**mantissa:.1f}", "SMALLEST": repr(2.0 ** (1 - bias)),
            "ROOT_GUESS": "0x5f3759dfu" if single else "0x5fe6eb50c7b537a9u",
            "EXP_SERIES": write_series([1 / math.factorial(k) for k in range(1, 8 if single else 14)], "r"),
            "ARTANH_SERIES": write_series([1 / (2 * k + 1) for k in range(7 if single else 17)], "q"),
            "SIN_SERIES": write_series([(-1) ** k / math.factorial(2 * k + 1) for k in range(9)], "q"),
            "COS_SERIES": write_series([(-1) ** k / math.factorial(2 * k) for k in range(10)], "q"),
            **dict(zip(("WHOLE", "HALF", "QUARTER", "EIGHTH"), map(str, self.panels), strict=True)),
            "word": "uint32_t" if single else "uint64_t",
        }  # fmt: skip
        text = fill_in(template, constants | {"NAME": self.name, "real": self.real})
        return re.sub(r"(?<![\w.])\d+\.\d+(?:e[-+]?\d+)?", lambda found: found[0] + "f" * single, text)


@cache
def templates() -> dict[str, str]:
    """Returns the functions of functions.c by their names, each with the comment and the type in front of it."""
    _, *parts = Path(__file__).with_name("functions.c").read_text(encoding="utf-8").split("\n\n")
    return {DEFINED.findall(part)[-1]: part.strip() + "\n" for part in parts}


def fill_in(template: str, values: Mapping[str, str]) -> str:
    """Returns a template with words in it replaced."""
    return re.sub("|".join(rf"(?<![A-Za-z]){key}(?![A-Za-z])" for key in values), lambda found: values[found[0]], template)


def write_series(coefficients: Sequence[float], variable: str) -> str:
    """Writes a polynomial by Horner's rule, its constant coefficient first."""
    first, *rest = coefficients
    return repr(first) + (f" + {variable} * ({write_series(rest, variable)})" if rest else "")
