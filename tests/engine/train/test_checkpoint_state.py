"""The state in a checkpoint's header, as it comes back."""

import msgspec
import torch

from engine.train.checkpoint import TrainingState


def test_a_scaler_goes_on_from_its_saved_state() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
    weight = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1)

    def step() -> None:
        scaler.scale((weight**2).sum()).backward()
        scaler.step(optimizer)
        scaler.update()

    step()
    state = TrainingState(
        feature_rms=1.0,
        data_digest="",
        precision="fp16",
        memory_format="contiguous",
        scaler=scaler.state_dict(),
    )
    saved = msgspec.json.encode(state)
    scaler = torch.amp.GradScaler("cpu")
    scaler.load_state_dict(msgspec.json.decode(saved, type=TrainingState).scaler)
    step()
    assert scaler.get_scale() == 8.0
