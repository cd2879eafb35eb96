"""Backends turn a model and a target into a build plan."""
