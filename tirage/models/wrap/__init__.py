"""Models around models: each adds one thing and is a model itself.

The usual order, from outside: `Counted(Cached(Retry(RateLimit(model))))`.
"""

from tirage.models.wrap.cached import Cached
from tirage.models.wrap.counted import Counted
from tirage.models.wrap.known import Known
from tirage.models.wrap.rate_limit import RateLimit
from tirage.models.wrap.retry import Retry

__all__ = ["Cached", "Counted", "Known", "RateLimit", "Retry"]
