"""Use of GPUs, as the driver's library reports it."""

from types import SimpleNamespace

import pynvml
import pytest

from engine.rundir.usage import GIB, GpuUse, gpu_use, gpus_by_uuid


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for a driver that knows one GPU, which does not measure its power."""

    def known(uuid: str) -> str:
        if uuid != "GPU-known":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return uuid

    def unsupported(_gpu: str) -> int:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    memory = SimpleNamespace(used=3 * GIB, total=80 * GIB)
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", known)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda _gpu: memory)
    utilization = SimpleNamespace(gpu=85)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", lambda _gpu: utilization)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetPowerUsage", unsupported)


@pytest.mark.usefixtures("driver")
def test_known_gpus_are_read_without_what_they_do_not_measure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (gpu,) = gpus_by_uuid(["GPU-known", "GPU-unknown"])
    assert gpu_use(gpu) == GpuUse(0.85, 3, 80, None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetPowerUsage", lambda _gpu: 310_000)
    assert gpu_use(gpu) == GpuUse(0.85, 3, 80, 310)
