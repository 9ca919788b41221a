"""The embedded data set: four styles of emoji."""
