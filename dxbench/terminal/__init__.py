"""Output for a person: text that comes out as it is, and progress. Used by the command line and by notebooks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
