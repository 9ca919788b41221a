"""The interface: command line, views, history of runs and their processes.

Knows the engine only by its protocol and its run folders; imports no torch.
"""
