"""What kernels may look like when they become machine code."""

from __future__ import annotations

import pytest

from edgec.backends.tvm.machine_code import KernelSource, compile_kernels
from edgec.core.codes.backend import CODE_GENERATION_FAILED
from edgec.core.errors import EdgecError
from edgec.core.target_files import load_target


def test_a_loop_without_a_fixed_count_is_refused() -> None:
    from tvm import te, tirx

    x = te.placeholder((4,), name="x")
    doubled = te.create_prim_func([x, te.compute((4,), lambda i: x[i] * 2, name="doubled")])
    forever = tirx.While(tirx.const(1, "bool"), doubled.body)
    function = tirx.PrimFunc(doubled.params, forever, doubled.ret_type, doubled.attrs)
    with pytest.raises(EdgecError, match="loops while a condition holds") as refused:
        compile_kernels([KernelSource("again", function, function)], load_target("host").compiler, 1)
    assert refused.value.code is CODE_GENERATION_FAILED
    assert refused.value.where == "again"
