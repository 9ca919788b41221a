"""Diagnostics of finished runs: why a network does well or badly on the target.

A diagnostic is evaluation after the fact. No step, recipe, rate or default is chosen by it.
"""
