"""The history of runs: an SQLite database that is read from run folders.

The folders hold everything; the database is their index and can be built again from them.
This package is the only one with SQL in it.
"""
