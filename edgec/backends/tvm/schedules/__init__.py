"""How the loops of a kernel are ordered, tiled and vectorised, by template."""
