"""Budgets: what a build must keep, the baseline that it is compared with, and what a change comes from."""
