"""Tags for words, and intents for sentences."""

from gatewright.tasks.tag.settings import TagSettings
from gatewright.tasks.tag.tagger import Tagged, Tagger

__all__ = ["TagSettings", "Tagged", "Tagger"]
