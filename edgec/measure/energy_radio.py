"""Energy of sending and receiving, for networks that are cut between a device and a server.

Wi-Fi, 3G and LTE: power = per-megabit-per-second share x throughput + base, J. Huang et al., "A close examination of
performance and power characteristics of 4G LTE networks", MobiSys 2012, table 4 (a telephone's radio while it
transfers). LoRa: Semtech SX1276 data sheet (rev. 7), table 10, 3.3 V: 29 mA at 13 dBm, 11.5 mA receiving; bit rate of
spreading factor 7, 125 kHz, coding rate 4/5 by section 4.1.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

_BITS = 8
_MEGABIT = 1e6


class Radio(StrEnum):
    """A kind of radio link."""

    WIFI = "wifi"
    UMTS = "3g"
    LTE = "lte"
    LORA = "lora"


@dataclass(frozen=True)
class _Power:
    """Milliwatts: by megabit per second sent, by megabit per second received, and base of each direction."""

    sent: float
    received: float
    sending: float
    receiving: float


_POWERS = {
    Radio.WIFI: _Power(283.17, 137.01, 132.86, 132.86),
    Radio.UMTS: _Power(868.98, 122.12, 817.88, 817.88),
    Radio.LTE: _Power(438.39, 51.97, 1288.04, 1288.04),
    Radio.LORA: _Power(0.0, 0.0, 29 * 3.3, 11.5 * 3.3),
}
LORA_BITS_PER_SECOND = 7 * 125e3 / 2**7 * 4 / 5


def transfer_energy_mj(radio: Radio, bits_per_second: float, sent: int, received: int = 0) -> float:
    """Millijoules that the device's radio takes to send and receive.

    Args:
        radio: the link.
        bits_per_second: throughput of either direction; for LoRa at most `LORA_BITS_PER_SECOND` of spreading factor 7.
        sent: bytes.
        received: bytes.
    """
    power, megabits = _POWERS[radio], bits_per_second / _MEGABIT
    sending = sent * _BITS / bits_per_second * (power.sent * megabits + power.sending)
    receiving = received * _BITS / bits_per_second * (power.received * megabits + power.receiving)
    return sending + receiving
