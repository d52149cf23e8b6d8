"""Tables of any kind, read in one way."""

from gatewright.tasks.table.table import Table, read_table

__all__ = ["Table", "read_table"]
