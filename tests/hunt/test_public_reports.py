"""Situations from public reports of other tools for the same job, tried here.

Each is told in our own words beside the address of the report it was found in.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hunt import with_data, with_runs, with_weights
from tests.hunt.workplace import Workplace
from tests.vld_tui.cli.conftest import Vld

Situation = Callable[[Workplace], None]

SITUATIONS: tuple[Situation, ...] = (
    # github.com/pytorch/vision/issues/714
    with_data.class_numbers_and_folders_disagree,
    # github.com/fastai/fastai/issues/3945
    with_weights.the_order_of_labels_is_lost_on_the_way,
    # github.com/ultralytics/ultralytics/issues/13936
    with_data.the_target_lacks_a_class,
    # github.com/huggingface/datasets/issues/5021
    with_data.classes_are_named_like_splits,
    # github.com/huggingface/datasets/issues/4839
    with_data.splits_have_many_names,
    # github.com/huggingface/datasets/issues/7880
    with_data.split_folders_are_no_labels,
    # github.com/tensorflow/tensorflow/issues/46595
    with_data.a_notebook_leaves_its_checkpoints,
    # github.com/photoprism/photoprism/issues/555
    with_data.a_nas_leaves_thumbnails,
    # github.com/SanjaySoniLV/ProjectKestrel/pull/58
    with_data.a_mac_leaves_a_file_beside_each,
    # github.com/udacity/deep-learning-v2-pytorch/issues/217
    with_data.an_archive_was_made_on_a_mac,
    # github.com/facebookresearch/DomainBed/issues/66
    with_data.a_stray_folder_is_named,
    # github.com/pytorch/vision/issues/4925
    with_data.a_class_folder_is_empty,
    # github.com/ultralytics/ultralytics/pull/25749
    with_data.formats_are_told_by_content,
    # github.com/python-pillow/Pillow/issues/2574
    with_data.sixteen_bits_of_grey,
    # github.com/huggingface/datasets/issues/6252
    with_data.pictures_are_turned_by_their_header,
    # github.com/keras-team/keras/issues/16661
    with_data.too_few_images_for_a_validation_part,
    # github.com/mrdbourke/nutrify/issues/50
    with_data.duplicates_leak_into_the_target,
    # github.com/huggingface/pytorch-image-models/issues/43
    with_weights.the_checkpoint_has_other_classes,
    # github.com/bearpaw/pytorch-classification/issues/27
    with_weights.names_begin_with_module,
    # github.com/huggingface/pytorch-image-models/pull/2003
    with_weights.the_network_was_compiled,
    # github.com/huggingface/transformers/issues/9209
    with_weights.lightning_saved_it,
    # github.com/ROCm/Megatron-LM/pull/56
    with_weights.timms_own_trainer_saved_it,
    # github.com/torchgeo/torchgeo/issues/4036
    with_weights.nothing_in_the_file_fits,
    # github.com/ultralytics/yolov5/issues/292
    with_runs.the_rate_begins_again_on_resume,
    # github.com/huggingface/transformers/issues/11323
    with_runs.a_resumed_run_differs,
    # github.com/Lightning-AI/pytorch-lightning/pull/19976
    with_runs.ctrl_c_is_pressed_again_and_again,
    # github.com/Lightning-AI/pytorch-lightning/issues/688
    with_runs.a_checkpoint_is_half_written,
    # github.com/Lightning-AI/pytorch-lightning/issues/4111
    with_runs.a_run_stopped_between_evaluations_goes_on_there,
    # github.com/Lightning-AI/pytorch-lightning/issues/20679
    with_runs.results_depend_on_the_number_of_threads,
    # github.com/bearpaw/pytorch-pose/issues/53
    with_runs.accuracy_depends_on_the_evaluation_batch,
    # github.com/pytorch/vision/issues/192
    with_data.files_lie_in_another_order_on_another_disk,
    # github.com/wandb/wandb/issues/6779
    with_runs.a_dead_run_is_running_for_weeks,
    # github.com/wandb/wandb/issues/4591
    with_runs.a_failed_run_is_finished,
    # github.com/wandb/wandb/issues/10368
    with_runs.a_run_killed_on_purpose_has_crashed,
    # github.com/guildai/guildai/issues/211
    with_runs.one_odd_number_stops_every_list,
    # github.com/gradio-app/trackio/issues/133, github.com/aimhubio/aim/issues/1299
    with_runs.many_write_at_once,
    # github.com/mlflow/mlflow/issues/3144
    with_runs.the_home_is_moved,
    # github.com/huggingface/pytorch-image-models/issues/1242
    with_runs.warm_up_and_cosine_do_not_fit_the_run,
    # github.com/AlexeyAB/darknet/issues/8668
    # github.com/huggingface/pytorch-image-models/issues/1324
    with_weights.inference_prepares_images_otherwise,
)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.__name__)
def test_a_situation_from_a_public_report(situation: Situation, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    situation(Workplace(tmp_path, Vld(home)))
