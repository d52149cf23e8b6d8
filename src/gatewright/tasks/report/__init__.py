"""`report.html`: its parts, and the pages made of them."""

from gatewright.tasks.report.parts import (
    Alert,
    Code,
    Figure,
    Findings,
    Folded,
    Markup,
    Probe,
    Report,
    Score,
    Section,
    Table,
    Text,
)

__all__ = [
    "Alert",
    "Code",
    "Figure",
    "Findings",
    "Folded",
    "Markup",
    "Probe",
    "Report",
    "Score",
    "Section",
    "Table",
    "Text",
]
