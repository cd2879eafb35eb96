"""Datasheets of devices, one TOML file each."""
