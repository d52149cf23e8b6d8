"""A saved model of any task behind HTTP: answers in batches, states by session, health, figures, limits."""

from .server import application, serve
from .settings import ServeSettings

__all__ = ["ServeSettings", "application", "serve"]
