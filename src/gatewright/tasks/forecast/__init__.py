"""Forecasts of one series or of thousands."""

from gatewright.tasks.forecast.forecaster import Forecaster
from gatewright.tasks.forecast.settings import ForecastSettings

__all__ = ["ForecastSettings", "Forecaster"]
