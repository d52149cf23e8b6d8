"""Equations as text: the grammar is `docs/notation.md`."""
