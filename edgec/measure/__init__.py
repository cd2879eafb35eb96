"""Meters: host timing, emulated runs, predictors."""
