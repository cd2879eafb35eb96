"""Words of four bytes: where the bytes are neighbours in memory the word is read at once, and sums take their products.

The lowering writes a word as a function of four bytes, since TVM can fold what comes before it into each of them. After
TVM's lowering it shows whether they are four neighbours.
"""

from __future__ import annotations

from typing import Any

from edgec.backends.gpu.device_functions import WORD_AT
from edgec.backends.tvm.integer.word_product import BYTES, DOT, WORD

_DOTS = frozenset(DOT.values())


def calls_functions_of_bytes(expression: Any) -> bool:  # noqa: ANN401  TVM ships no types
    """Whether an expression makes words or multiplies them: TVM cannot vectorise it."""
    from tvm.ir import Call
    from tvm_ffi import structural_walk

    found: list[Any] = []
    structural_walk(expression, (Call, found.append))
    return any(_name(call) in (WORD, *_DOTS) for call in found)


def with_words_at_once(module: Any, *, aligned: bool) -> Any:  # noqa: ANN401  TVM ships no types
    """Device functions that read words at once and add to their sums of products.

    Args:
        module: after lowering.
        aligned: whether tensors begin at multiples of four bytes.
    """
    import tvm
    from tvm import tirx
    from tvm.ir import Call
    from tvm_ffi import structural_map

    def word(call: Any) -> Any:  # noqa: ANN401
        return _read_at_once(call) if aligned and _name(call) == WORD else call

    def summed(total: Any) -> Any:  # noqa: ANN401
        for call, other in ((total.a, total.b), (total.b, total.a)):
            if isinstance(call, Call) and _name(call) in _DOTS:
                return _with_sum(call, other)
        return total

    functions = {
        name: structural_map(function, [(Call, word), (tirx.Add, summed)])
        for name, function in module.functions_items()
    }
    return tvm.IRModule(functions, attrs=module.attrs)


def _name(call: Any) -> str:  # noqa: ANN401
    """What function of the device a call names; empty for operators of TVM."""
    named = len(call.args) > 0 and type(call.args[0]).__name__ == "StringImm"
    return str(call.args[0].value) if named else ""


def _with_sum(call: Any, total: Any) -> Any:  # noqa: ANN401
    from tvm import tirx

    name, left, right, zero = call.args
    if int(zero) != 0:
        return tirx.Add(call, total)
    return tirx.call_pure_extern("int32", str(name.value), left, right, total)


def _read_at_once(call: Any) -> Any:  # noqa: ANN401
    """The word by its address; the call itself if its bytes are no neighbours."""
    from tvm import tirx
    from tvm.ir import TensorLoad
    from tvm.sym.analyzer import Analyzer

    loads = list(call.args[1:])
    first = loads[0]
    if not all(isinstance(load, TensorLoad) and load.source.same_as(first.source) for load in loads):
        return call
    analyzer = Analyzer()
    at = first.indices[0]
    distances = [analyzer.simplify(load.indices[0] - at) for load in loads]
    neighbours = all(isinstance(each, tirx.IntImm) and int(each) == place for place, each in enumerate(distances))
    multiple = analyzer.modular_set(at)
    if not neighbours or multiple.coeff % BYTES or multiple.base % BYTES:
        return call
    return tirx.call_pure_extern("int32", WORD_AT, first)
