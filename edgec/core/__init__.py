"""The contracts every room shares: errors, passes, targets, artefacts, metrics."""
