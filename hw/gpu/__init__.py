"""The C launchers that are linked into every artefact for a graphics processor."""
