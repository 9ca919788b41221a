"""Use of trained networks: on images outside of any run."""
