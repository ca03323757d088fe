"""Backbones by name: a local folder, or an id of the Hugging Face hub, from its local cache or the network.

Only a repository's configuration and safetensors weights are downloaded: no code, no pickle.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from hallmark.contracts.errors import HallmarkError, InputError, MachineError
from hallmark.models.params import BACKBONE

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = ["config.json", "preprocessor_config.json", "*.safetensors", "*.safetensors.index.json"]
PATIENCE = 8.0  # seconds to wait for an answer of the hub
_ID = re.compile(r"(?P<repository>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?")


def fetch(name: str, *, param: str = BACKBONE) -> tuple[Path, str | None]:
    """The folder of a backbone, and its commit if it is from the hub; ``<id>@<revision>`` selects one.

    ``param`` is the parameter that names it. Raises InputError if there is no such folder or repository, MachineError
    if the hub cannot be reached.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder, None
    parts = _ID.fullmatch(name)
    if parts is None or name.startswith((".", "/")):
        raise InputError(f"{param}: no folder '{name}'", remedy="give an existing folder, or an id of the hub")
    try:
        import huggingface_hub
    except ImportError as error:
        raise missing_extra() from error
    from huggingface_hub.errors import LocalEntryNotFoundError

    repository, revision = parts["repository"], parts["revision"]

    def cached() -> Path:
        path = huggingface_hub.snapshot_download(
            repository, revision=revision, allow_patterns=FILES, local_files_only=True
        )
        return Path(path)

    try:
        snapshot = cached()
        if list(snapshot.glob("*.safetensors")) and (snapshot / "config.json").is_file():
            return snapshot, snapshot.name
    except LocalEntryNotFoundError:
        pass  # not in the cache: download it
    hub = huggingface_hub.HfApi()
    commit = _query(lambda: hub.model_info(repository, revision=revision, timeout=PATIENCE).sha, name, param)
    path = _query(
        lambda: huggingface_hub.snapshot_download(
            repository, revision=commit, allow_patterns=FILES, etag_timeout=PATIENCE
        ),
        name,
        param,
    )
    return Path(str(path)), commit


def _query(question: Callable[[], str | None], name: str, param: str) -> str | None:
    """The hub's answer; raises a specific error for each failure."""
    from httpx2 import HTTPError
    from huggingface_hub import errors

    try:
        return question()
    except errors.GatedRepoError as error:  # before its base class RepositoryNotFoundError
        raise InputError(
            f"{param} '{name}' requires you to accept its terms",
            remedy="accept them on its page on the hub, then run `hf auth login`",
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        raise InputError(
            f"{param}: there is no folder '{name}', and the hub has no such model (or it is private)",
            remedy="check the spelling, or run `hf auth login`",
        ) from error
    except (HTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
        command = f"hf download {name.replace('@', ' --revision ')} --local-dir backbone"
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise MachineError(
            f"{param} '{name}' is not on this machine, and the hub {hub} cannot be reached ({reason})",
            remedy=f"on a machine with network access run `{command}`, copy the folder here and set {param} to it",
        ) from error


def missing_extra() -> HallmarkError:
    """The error for the extra that is not installed."""
    return MachineError(
        "pretrained backbones need the package transformers, which is not installed",
        remedy="pip install 'hallmark-ml[pretrained]'",
    )
