"""One run on several GPUs or processes: read :mod:`engine.ranks` first.

The process ``python -m engine RUN_DIR`` (the launcher) locks the run, prepares its images and
records its end. It starts an agent (:mod:`~engine.distributed.agent`) on each machine, which starts
the ranks (:mod:`~engine.distributed.worker`). They share a folder
(:mod:`~engine.distributed.exchange`) and form a process group (:mod:`~engine.distributed.group`).
"""
