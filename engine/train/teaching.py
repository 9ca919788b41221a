"""What a run learns from other models: the probabilities of a teacher and of a biased model.

Both are computed once, before the first step, on the training images without augmentation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.data import RunData
from engine.errors import InputError
from engine.evaluate import network_predictor
from engine.execution import Execution
from engine.machine.processor import release_freed_memory
from engine.model import FineTunedNetwork
from engine.model.tensor_file import read_header
from engine.objectives import Teaching
from engine.protocol import RunSpec, spec_of
from engine.rundir import RunDir
from engine.rundir.checkpoints import refusing_damage
from engine.rundir.phases import Phases
from engine.rundir.teacher import find_teacher
from engine.stop_request import StopRequest, StopRequested
from engine.train.biased_model import true_class_probabilities
from engine.train.checkpoint import decode_state, load_network


def learn_from_others(
    spec: RunSpec, data: RunData, network: FineTunedNetwork, execution: Execution,
    run_dir: RunDir, stop: StopRequest, phases: Phases,
) -> Teaching:  # fmt: skip
    """Return what a run's teacher and a biased model predict for its training images.

    All ranks share the work, and have the same result.

    Args:
        spec: of the run.
        data: its images, not their frozen features.
        network: before its first step; the biased model reads it.
        execution: where the networks compute; in fp32, as in evaluation.
        run_dir: of the run, next to the teacher's.
        stop: asked after each batch.
        phases: reports the progress.

    Raises:
        InputError: if the run cannot learn from the teacher, or a network's outputs are not finite.
        StopRequested: if a stop is requested.
    """

    def stop_if_asked() -> None:
        if execution.ranks.any_rank(stop.requested):
            raise StopRequested

    teacher = load_teacher(spec, data, run_dir)
    execution.prepare(teacher.module)
    predictor = network_predictor(teacher, spec.eval_batch_size, execution)
    found: list[Tensor] = []
    total = sum(len(domain.in_indices) for domain in data.sources)
    with phases.begin("asking_teacher", total) as asking:
        for domain in data.sources:
            asking.at(domain.name)
            for logits, labels in predictor(domain, "in", domain.in_indices):
                found.append(logits.log_softmax(dim=1).cpu())
                asking.advance(len(labels))
                stop_if_asked()
    log_probabilities = torch.cat(found).clone()  # made in inference mode
    if not bool(log_probabilities.isfinite().all()):
        raise InputError(
            f"The predictions of run {spec.teacher}, the teacher, are not finite. Give another "
            "--teacher."
        )
    del teacher, predictor
    release_freed_memory()
    bias = true_class_probabilities(spec, data, network, execution, stop_if_asked, phases)
    execution.ranks.copy_first([log_probabilities, bias])
    return Teaching(log_probabilities, bias)


def load_teacher(spec: RunSpec, data: RunData, run_dir: RunDir) -> FineTunedNetwork:
    """Return the network of a run's teacher at its selected step, on the CPU.

    Raises:
        InputError: if the run cannot learn from it, see
            :func:`engine.rundir.teacher.find_teacher`, or it was trained on other images or
            classes.
    """
    teacher = find_teacher(spec, run_dir.path.parent, run_dir.run_id)
    path = teacher.best_checkpoint
    with refusing_damage(path):
        digest = decode_state(read_header(path)[0]).data_digest
    if digest != data.digest:
        raise InputError(
            f"Run {teacher.run_id}, the teacher, was trained on other images than those now in "
            f"{data.image_set.location} (version {digest[:8]}, now {data.digest[:8]}), so it may "
            "know images that this run holds out. Give another --teacher."
        )
    network, card = load_network(path, spec_of(teacher.read_task()), teacher)
    if card.classes != data.classes:
        raise InputError(
            f"Run {teacher.run_id}, the teacher, has the classes {', '.join(card.classes)}, not "
            f"{', '.join(data.classes)}. Give another --teacher."
        )
    return network
