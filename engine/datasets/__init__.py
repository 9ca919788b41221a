"""Image data sets on disk: layouts, registration, checks and the decoded cache. Without torch."""
