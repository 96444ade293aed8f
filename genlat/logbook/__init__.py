"""All that a run says about itself; the only writer of metrics."""

from genlat.logbook.book import Logbook
from genlat.logbook.late import LateMetrics

__all__ = ["LateMetrics", "Logbook"]
