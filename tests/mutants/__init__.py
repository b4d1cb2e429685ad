"""Planted bugs, and whether the tests catch them: `python -m tests.mutants` plants each of `table.py` in a copy."""
