"""Links between a device and a server: how long bytes take, and what the device's radio takes for them.

Rates and round trips of the named links are typical, not measured here: Wi-Fi in a home, LTE by Huang et al. (MobiSys
2012, median uplink 5.6 Mbit/s, round trip 70 ms), LoRa at spreading factor 7 and 125 kHz.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgec.core.codes.split import BAD_LINK
from edgec.core.errors import EdgecError
from edgec.measure.energy_radio import LORA_BITS_PER_SECOND, Radio, transfer_energy_mj

_BITS = 8


@dataclass(frozen=True)
class Link:
    """A link, the same in both directions.

    Attributes:
        name: as it was asked for.
        bits_per_second: throughput of payloads.
        round_trip_ms: of an empty frame.
        radio: whose power is counted; None for a wire, whose energy is not.
    """

    name: str
    bits_per_second: float
    round_trip_ms: float
    radio: Radio | None

    def transfer_ms(self, sent: float, received: float) -> float:
        """Milliseconds for bytes there and back."""
        return self.round_trip_ms + (sent + received) * _BITS / self.bits_per_second * 1e3

    def energy_mj(self, sent: int, received: int) -> float | None:
        """Millijoules of the device's radio; None where no radio is known."""
        return None if self.radio is None else transfer_energy_mj(self.radio, self.bits_per_second, sent, received)


NAMED_LINKS = {
    "wifi": Link("wifi", 20e6, 5.0, Radio.WIFI),
    "lte": Link("lte", 5.6e6, 70.0, Radio.LTE),
    "lora": Link("lora", LORA_BITS_PER_SECOND, 1000.0, Radio.LORA),
}
_WIRED_ROUND_TRIP_MS = 1.0


def parse_link(text: str) -> Link:
    """A link from its name, or from its megabits (1e6 bits) per second.

    Raises:
        EdgecError: EC1208 for anything else.
    """
    if text in NAMED_LINKS:
        return NAMED_LINKS[text]
    try:
        megabits = float(text)
    except ValueError:
        megabits = 0.0
    if not 0 < megabits < 1e6:
        what = f"{text!r} is neither {', '.join(NAMED_LINKS)} nor a number of megabits per second"
        raise EdgecError(BAD_LINK, what, where=f"--link {text}", hint=BAD_LINK.remedy)
    return Link(f"{megabits:g} Mbit/s", megabits * 1e6, _WIRED_ROUND_TRIP_MS, None)
