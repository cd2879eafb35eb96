"""A target is a datasheet: a TOML file, every number with its unit in its name, its basis and its source."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgec.core.target_gpu import Gpu
from edgec.core.target_hls import Hls
from edgec.core.target_prediction import Prediction
from edgec.core.target_quantity import Basis as Basis
from edgec.core.target_quantity import Quantity as Quantity


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Compiler(_Section):
    """What the code generator and the tool chain must know.

    Attributes:
        triple: LLVM target triple; `native` for the machine that runs edgec.
        cpu: LLVM's name of the core.
        features: LLVM target features, each with its sign.
        float_abi: `hard` or `soft` on 32-bit Arm, empty elsewhere.
        link_triple: triple of the tool chain that links the executable (`zig cc -target`).
        library_link_triple: triple that links the shared library, with the oldest C library it must load on;
            empty where the device loads no shared library.
        operating_system: `linux`, or `none` for bare metal.
    """

    triple: str
    cpu: str
    features: tuple[str, ...] = ()
    float_abi: Literal["", "hard", "soft"] = ""
    link_triple: str
    library_link_triple: str = ""
    operating_system: Literal["linux", "none"] = "linux"

    @property
    def computes_in_half(self) -> bool:
        """Whether the core multiplies and adds vectors of fp16 by instructions of its own."""
        return bool({"+fullfp16", "+avx512fp16"} & set(self.features))


class Core(_Section):
    """The core that runs the kernels.

    Attributes:
        cores: number of equal cores that an inference may use.
        clock_mhz: sustained clock.
        vector_bits: width of a vector register; 32 where there is no vector unit.
        vector_registers: number of vector registers that a kernel may use for accumulators.
        fma_per_cycle: fp32 multiply-accumulates a core retires per cycle at best.
        dot_product: the instruction that multiplies int8 and adds into int32 lanes.
        l1_data_kib: level 1 data cache of a core.
        l2_kib: level 2 cache as seen by a core; absent if there is none.
        l3_kib: level 3 cache as seen by a core; absent if there is none.
    """

    cores: Quantity
    clock_mhz: Quantity
    vector_bits: Quantity
    vector_registers: Quantity
    fma_per_cycle: Quantity
    dot_product: Literal["none", "sdot", "vnni"] = "none"
    l1_data_kib: Quantity
    l2_kib: Quantity | None = None
    l3_kib: Quantity | None = None


class Memory(_Section):
    """Main memory.

    Attributes:
        size_mib: memory for activations, and for weights where there is no flash.
        bandwidth_gbps: gigabytes (1e9 bytes) per second that one inference can draw.
        flash_mib: memory that holds code and weights and is read in place; absent where they are loaded.
    """

    size_mib: Quantity
    bandwidth_gbps: Quantity
    flash_mib: Quantity | None = None


class Power(_Section):
    """Power of the whole board at rest and with its cores busy."""

    idle_w: Quantity
    busy_w: Quantity


class Emulator(_Section):
    """How an artefact runs on another machine: `qemu-aarch64 -cpu cortex-a72`.

    Attributes:
        executable: user-mode emulator, looked up on PATH.
        arguments: what comes before the program.
        link_triple: triple that links the runner for the emulator where the device itself has no operating
            system; empty where the runner is the device's own.
    """

    executable: str
    arguments: tuple[str, ...] = ()
    link_triple: str = ""


class Fpga(_Section):
    """A field-programmable gate array.

    Attributes:
        family: which synthesis and place-and-route serve it.
        device: name of the part for place-and-route.
        package: package, which decides the pins.
        luts: look-up tables of four inputs.
        flip_flops: registers.
        block_ram_kbit: block memory, kilobits (1024).
        clock_mhz: clock that place-and-route aims at.
        adders_per_cycle: adders that a signal may pass between two registers.
        unrolled_share: largest share of the look-up tables that an unrolled network may take by estimate; a larger
            one is folded.
        cells: table of energies in `hw/cells/`.
        static_w: power of the configured device at rest.
    """

    family: Literal["ecp5", "ice40", "gowin"]
    device: str
    package: str
    luts: Quantity
    flip_flops: Quantity
    block_ram_kbit: Quantity
    clock_mhz: Quantity
    adders_per_cycle: Quantity
    unrolled_share: Quantity
    cells: str
    static_w: Quantity


class Asic(_Section):
    """An integrated circuit of standard cells, estimated and not laid out.

    Attributes:
        cells: table of cells in `hw/cells/`, or path of a Liberty file.
        clock_mhz: inferences a second, in millions: one starts each cycle.
        adders_per_cycle: adders that a signal may pass between two registers.
        placement_density: share of the core's area that cells cover.
        wire_ff_per_pin: capacitance of the wire to each input pin.
        clock_ff_per_register: capacitance of a register's clock pin and its share of the clock tree.
        weights: `hard-wired` into adders, or in `registers` that are written over I2C.
        triple_registers: three copies of each register and a vote, against radiation.
        i2c_address: of the chip on the bus that its weights are written over.
    """

    cells: str
    clock_mhz: Quantity
    adders_per_cycle: Quantity
    placement_density: Quantity
    wire_ff_per_pin: Quantity
    clock_ff_per_register: Quantity
    weights: Literal["hard-wired", "registers"] = "hard-wired"
    triple_registers: bool = False
    i2c_address: int = Field(default=0x2A, ge=0x08, le=0x77)


class Target(_Section):
    """A device that edgec compiles for.

    A processor has the sections `compiler`, `core` and `memory`; a graphics processor has `gpu`, `memory`, and
    `compiler` for the program that launches its kernels; hardware that is made for one network has `fpga`, `asic` or
    `hls` instead.

    Attributes:
        name: what `--target` takes.
        title: the device's full name.
        backend: the backend that serves it.
        notes: what a user should know before trusting the numbers.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    backend: Literal["tvm", "gpu", "hls4ml", "rtl"]
    notes: str = ""
    # The validator below makes sure that these are there wherever code for a processor may look at them.
    compiler: Compiler = Field(default=None, validate_default=False)  # type: ignore[assignment]
    core: Core = Field(default=None, validate_default=False)  # type: ignore[assignment]
    memory: Memory = Field(default=None, validate_default=False)  # type: ignore[assignment]
    power: Power | None = None
    prediction: Prediction | None = None
    emulator: Emulator | None = None
    gpu: Gpu | None = None
    fpga: Fpga | None = None
    asic: Asic | None = None
    hls: Hls | None = None

    @property
    def is_circuit(self) -> bool:
        """Whether hardware is made for one network, and no kernels are compiled."""
        return self.backend in ("rtl", "hls4ml")

    @property
    def computes_in_half(self) -> bool:
        """Whether networks in fp16 are faster: by instructions of a core, by half the bytes on graphics processors."""
        if self.gpu is not None:
            return True
        return self.compiler is not None and self.compiler.computes_in_half

    @model_validator(mode="after")
    def _has_the_sections_of_its_backend(self) -> Self:
        wanted = {"tvm": ("compiler", "core", "memory"), "gpu": ("compiler", "gpu", "memory")}.get(self.backend, ())
        missing = [name for name in wanted if getattr(self, name) is None]
        if missing:
            raise ValueError(f"a target of the backend {self.backend} needs the section [{missing[0]}]")
        if self.backend == "rtl" and (self.fpga is None) == (self.asic is None):
            raise ValueError("a target of the backend rtl needs one of the sections [fpga] and [asic]")
        if self.backend == "hls4ml" and self.hls is None:
            raise ValueError("a target of the backend hls4ml needs the section [hls]")
        return self
