"""Tables of cells: areas, delays and energies, each with its source."""
