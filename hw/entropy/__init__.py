"""The entropy coder of split computing in C, for devices."""
