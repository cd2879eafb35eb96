"""Sources of what a board runs to be reached."""
