"""isonomy: equal laws. Steer to the nearest ideal distribution, and judge any classifier."""

from isonomy._version import __version__

__all__ = ["__version__"]
