"""One run on several GPUs or processes: read :mod:`engine.distributed.ranks` first.

The process ``python -m engine RUN_DIR`` (the head) holds the run, prepares its images and tells of
its end. It starts an agent (:mod:`~engine.distributed.agent`) on each machine, and the agent starts
the ranks (:mod:`~engine.distributed.worker`), which train together. They meet in a folder
(:mod:`~engine.distributed.exchange`) and form a group (:mod:`~engine.distributed.group`).
"""
