"""Triton's interpreter, faster: it patches its language for every call of a device function, and makes types anew for every operation,
which is most of a small kernel's time."""

from collections.abc import Callable
from typing import Any

import numpy as np


def patch_once(functions: Any, patch: Callable[[Any, str, Any], object]) -> None:
    """Have `functions`, the interpreter's InterpretedFunction, patch the language once for each module in a launch; `patch(owner, name,
    value)` sets an attribute."""
    patched: set[str] = set()
    call, run = functions.__call__, functions.run

    def called(self: Any, *arguments: Any, **options: Any) -> Any:
        if self.fn.__module__ in patched:
            return self.rewrite()(*arguments, **options)
        patched.add(self.fn.__module__)
        return call(self, *arguments, **options)

    def launched(self: Any, *arguments: Any, **options: Any) -> Any:
        patched.clear()
        with np.errstate(all="ignore"):  # infinity is a result like any other, and lanes outside of a tensor compute too
            return run(self, *arguments, **options)

    patch(functions, "__call__", called)
    patch(functions, "run", launched)


def keep_types(patch: Callable[[Any, str, Any], object]) -> None:
    """Have types of blocks, and what tensors and NumPy take from a type, made once each, and operands of one type not be cast to it."""
    from triton.language import core
    from triton.language.semantic import TritonSemantic
    from triton.runtime import interpreter

    blocks: dict[Any, dict[str, Any]] = {}
    numpy_types: dict[str, Any] = {}
    make_block, make_tensor, broadcast = core.block_type.__init__, core.tensor.__init__, TritonSemantic.broadcast_impl_value
    find_numpy_type, check = interpreter._get_np_dtype, TritonSemantic.binary_op_type_checking_impl

    def made_block(self: Any, element_ty: Any, shape: Any) -> None:
        pointed = getattr(element_ty, "address_space", 0), getattr(element_ty, "const", False)
        key = element_ty.name, pointed, *(getattr(length, "value", length) for length in shape)
        if key not in blocks:
            make_block(self, element_ty, shape)
            blocks[key] = dict(vars(self))
        vars(self).update(blocks[key])

    def made_tensor(self: Any, handle: Any, type: Any) -> None:
        kept = vars(type).get("of_tensors")
        if kept is None:
            make_tensor(self, handle, type)
            type.of_tensors = {name: vars(self)[name] for name in ("shape", "numel", "dtype")}
        else:
            self.handle, self.type = handle, type
            vars(self).update(kept)

    def broadcasted(self: Any, a: Any, b: Any) -> tuple[Any, Any]:
        alike = a.type.is_block() and b.type.is_block() and [*a.type.shape] == [*b.type.shape]
        return (a, b) if alike else broadcast(self, a, b)

    def numpy_type(type: Any) -> Any:
        name = type.scalar.name
        if name not in numpy_types:
            numpy_types[name] = find_numpy_type(type)
        return numpy_types[name]

    def checked(self: Any, a: Any, b: Any, *rest: Any, **options: Any) -> tuple[Any, Any]:
        floats = isinstance(a, core.tensor) and isinstance(b, core.tensor) and a.dtype.name == b.dtype.name in ("fp32", "fp64")
        return broadcasted(self, a, b) if floats else check(self, a, b, *rest, **options)

    patch(interpreter, "_get_np_dtype", numpy_type)
    patch(TritonSemantic, "binary_op_type_checking_impl", checked)
    patch(core.block_type, "__init__", made_block)
    patch(core.tensor, "__init__", made_tensor)
    patch(TritonSemantic, "broadcast_impl_value", broadcasted)
