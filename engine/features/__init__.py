"""Features of frozen networks: computed once, cached and shared by runs and diagnostics."""

from engine.features.cached import CachedFeatures, cached_features

__all__ = ["CachedFeatures", "cached_features"]
