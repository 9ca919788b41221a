"""Four styles of emoji: the data set that comes with the program."""
