"""The former place of a cluster job's task."""
