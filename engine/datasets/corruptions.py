"""The common corruptions of Hendrycks & Dietterich (2019), by the package that publishes them.

"Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR 2019:
fifteen ways in four groups to spoil an image, each at five severities.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine.errors import DataError
from engine.protocol import nearest
from engine.protocol.extras import install_command

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}
SEVERITIES: Final = range(1, 6)
SMALLEST: Final = 32
"""Side in pixels below which the corruptions are not defined."""
_TAKES_SEED: Final = ("impulse_noise", "glass_blur")


def find_corruptions(name: str) -> tuple[str, ...]:
    """Return the corruptions of a group, or the one of that name.

    Raises:
        DataError: when there is none.
    """
    every = [each for group in GROUPS.values() for each in group]
    if name in GROUPS:
        return GROUPS[name]
    if name in every:
        return (name,)
    raise DataError(
        f"There is no corruption {name!r}.{nearest(name, [*GROUPS, *every])} Groups: "
        f"{', '.join(GROUPS)}; single ones: {', '.join(every)}."
    )


def require_corruptions() -> Any:
    """Return the package that corrupts images.

    Raises:
        DataError: when it is not installed, or cannot be loaded.
    """
    try:
        import imagecorruptions  # only this needs it, and it brings a compiler
    except ModuleNotFoundError:
        raise DataError(
            f"Corruptions need a package that is not installed: {install_command('corruptions')}"
        ) from None
    except ImportError as error:  # its OpenCV wants a window system's libraries
        raise DataError(
            f"The package of corruptions cannot be loaded: {error}. On a machine without a window "
            "system: pip install --force-reinstall --no-deps opencv-python-headless"
        ) from None
    return imagecorruptions


def corrupt(
    image: Image.Image, corruptions: Sequence[str], severity: int, seed: str
) -> npt.NDArray[np.uint8]:
    """Corrupt an image by one of several corruptions.

    The package draws from NumPy's global generator, which this seeds: not for several threads.

    Args:
        image: RGB, both sides of at least ``SMALLEST`` pixels.
        corruptions: those to draw from.
        severity: 1 to 5.
        seed: the same seed gives the same corruption of the same strength.

    Returns:
        (H, W, 3) uint8.
    """
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4])
    np.random.seed(number)
    name = corruptions[np.random.randint(len(corruptions))]
    extra = {"seed": number} if name in _TAKES_SEED else {}
    corrupted = require_corruptions().corrupt(
        np.asarray(image), severity=severity, corruption_name=name, **extra
    )
    return np.asarray(corrupted, dtype=np.uint8)
