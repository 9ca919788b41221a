"""One run on several GPUs or processes: read :mod:`engine.ranks` first.

The process ``python -m engine RUN_DIR`` (the launcher) holds the run, prepares its images and
records its end. It starts an agent (:mod:`~engine.distributed.agent`) on each machine, and the
agent starts the ranks (:mod:`~engine.distributed.worker`), which train together. They meet in a
folder (:mod:`~engine.distributed.exchange`) and form a group (:mod:`~engine.distributed.group`).
"""
