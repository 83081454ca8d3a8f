"""The leaderboard as a static site in one folder, which needs neither network nor server."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
