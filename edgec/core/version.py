"""The version of edgec, as reports and manifests state it."""

from __future__ import annotations

VERSION = "0.1.0"
