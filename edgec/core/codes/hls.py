"""EC13xx: high-level synthesis."""

from edgec.core.errors import ErrorCode, ExitStatus

TYPE_MISSING = ErrorCode(
    "EC1301",
    "a type of the circuit does not follow from the quantisers",
    ExitStatus.UNSUPPORTED,
    "Every value of the circuit gets a fixed-point type that is derived from the quantisers of the model. hls4ml put in"
    " a value, or changed a type, that edgec has not derived.",
    "Quantise the result of the layer named, or replace the layer.",
)
VALUE_OVERFLOWS = ErrorCode(
    "EC1302",
    "a value of the circuit differs from the model",
    ExitStatus.UNSUPPORTED,
    "The C simulation of the circuit was compared with the model layer by layer. The layer named is the first that"
    " differs: its type, or the type of its sums, is too narrow.",
    "Remove the layer from `types` in the section [hls] of the target, or give it more bits.",
)
VENDOR_REPORT = ErrorCode(
    "EC1303",
    "a report of high-level synthesis cannot be read",
    ExitStatus.USAGE,
    "It must be the csynth.xml that Vitis HLS or Vivado HLS writes into solution1/syn/report, or the folder of another"
    " tool: oneAPI's NAME.report.prj, Quartus' NAME-fpga.prj, Catapult's NAME_prj/NAME.v1.",
    "Give the path of the report of the top function.",
)
UNKNOWN_LAYER = ErrorCode(
    "EC1304",
    "the target names a layer that the model lacks",
    ExitStatus.USAGE,
    "`types` in the section [hls] gives types by the name of an ONNX node whose result hls4ml computes.",
    "Correct the name; `edgec build` lists the layers in report.json.",
)
