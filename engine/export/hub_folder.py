"""A folder for the Hugging Face Hub: files that timm or PyTorch loads, and a model card."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Final

from engine.errors import InputError
from engine.export import pt2_file, timm_folder
from engine.export.folder import MANIFEST
from engine.export.form import Form, Loaded
from engine.export.model_card import Facts, model_card
from engine.inference.classifier import Classifier
from engine.text import without_secrets

README: Final = "README.md"
NO_REPOSITORY: Final = "OWNER/NAME"
"""Stands for the repository in a model card that is not uploaded yet."""
_FILES: Final = (timm_folder.CONFIG, timm_folder.WEIGHTS, pt2_file.FILE)
"""The files of every form: those that an export does not have are of one that it replaces."""
_LOGIN: Final = "Log in with: hf auth login (or set HF_TOKEN)."


def check(_classifier: Classifier) -> None:
    """Accept every network."""


def write(folder: Path, classifier: Classifier) -> None:
    """Write the files of timm's network, or those of :mod:`engine.export.pt2_file`.

    Raises:
        InputError: if PyTorch cannot export the network.
        OSError: if they cannot be written.
    """
    is_timm = timm_folder.why_not(classifier) is None
    (timm_folder.FORM if is_timm else pt2_file.FORM).write(folder, classifier)


def load(folder: Path) -> Loaded:
    """Load the files as any program does."""
    return _form_of(folder).load(folder)


def code(where: str) -> tuple[str, ...]:
    """Return the lines that load them from a folder."""
    return _form_of(Path(where)).code(where)


def _form_of(folder: Path) -> Form:
    return timm_folder.FORM if _is_timm(folder) else pt2_file.FORM


def _is_timm(folder: Path) -> bool:
    return (folder / timm_folder.CONFIG).is_file()


def write_card(folder: Path, facts: Facts, classifier: Classifier, repository: str | None) -> None:
    """Write the model card of a network whose files are in the folder.

    Raises:
        OSError: if it cannot be written.
    """
    where = repository or NO_REPOSITORY
    if _is_timm(folder):
        lines, library = timm_folder.code(where, "hf-hub"), "timm"
    else:
        lines, library = _code_of_download(where), "pytorch"
    card = model_card(facts, classifier, lines, library)
    (folder / README).write_text(card, encoding="utf-8")


def _code_of_download(repository: str) -> tuple[str, ...]:
    first, *others = pt2_file.code(".")
    file = json.dumps(f"./{pt2_file.FILE}")
    download = f'hf_hub_download("{repository}", "{pt2_file.FILE}")'
    return (
        "from huggingface_hub import hf_hub_download",
        first,
        *(line.replace(file, download) for line in others),
    )


def check_access(repository: str) -> None:
    """Check that a repository can be written, before anything is exported.

    Raises:
        InputError: if the hub cannot be reached, or there is no valid token.
    """
    from huggingface_hub import HfApi, constants, get_token
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise InputError(f"--push {repository}: {error} Expected: {NO_REPOSITORY}") from None
    if get_token() is None:
        raise InputError(f"--push needs a token of the Hugging Face Hub. {_LOGIN}")
    try:
        HfApi().whoami()
    except HfHubHTTPError as error:
        raise InputError(f"The token was rejected: {_reason(error)}. {_LOGIN}") from None
    except Exception as error:  # noqa: BLE001 - any error of the client: always reported
        raise InputError(
            f"--push cannot reach {constants.ENDPOINT} ({type(error).__name__}). Export without "
            f"--push and upload the folder later: hf upload {repository} DIR"
        ) from None


def push(folder: Path, repository: str) -> str:
    """Upload an exported folder and return its address; a new repository is private.

    Files of another form, pushed there before, are deleted; other files are kept.

    Raises:
        InputError: if it cannot be uploaded; the folder remains.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        repository = api.create_repo(repository, private=True, exist_ok=True).repo_id
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            ignore_patterns=[MANIFEST],
            delete_patterns=[name for name in _FILES if not (folder / name).exists()],
            commit_message="Export with vld-tui",
        )
    except Exception as error:  # noqa: BLE001 - any error of the client: always reported
        raise InputError(
            f"{folder} was written, but not uploaded: {_reason(error)}. Try again with: hf upload "
            f"{repository} {shlex.quote(str(folder))}"
        ) from None
    return f"{api.endpoint}/{repository}"


def _reason(error: BaseException) -> str:
    lines = without_secrets(str(error)).strip().splitlines() or [""]
    name = "" if isinstance(error, OSError) and lines[0] else f"{type(error).__name__}: "
    return (name + lines[0]).rstrip(".: ")


FORM: Final = Form(check, write, load, code)
