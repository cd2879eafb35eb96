"""Built-in recipes: lists of passes in TOML."""
