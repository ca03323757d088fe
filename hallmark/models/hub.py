"""Backbones by name: a local folder, or an id of the Hugging Face hub, whose cache is asked before the network.

Of a repository only the configuration and the safetensors weights are taken: no code, no pickle.
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
PATIENCE = 8.0  # seconds until a hub that does not answer is given up
_ID = re.compile(r"(?P<repository>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?")


def fetched(name: str, *, where: str = BACKBONE) -> tuple[Path, str | None]:
    """The folder of a backbone, and its commit where it is the hub's; ``<id>@<revision>`` names one.
    ``where`` is the param that names it.

    Raises InputError where there is no such folder or repository, MachineError where the hub cannot be reached.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder, None
    parts = _ID.fullmatch(name)
    if parts is None or name.startswith((".", "/")):
        raise InputError(f"{where}: no folder '{name}'", remedy="give an existing folder, or an id of the hub")
    try:
        import huggingface_hub
    except ImportError as error:
        raise needed() from error
    from huggingface_hub.errors import LocalEntryNotFoundError

    repository, revision = parts["repository"], parts["revision"]

    def cached() -> Path:
        place = huggingface_hub.snapshot_download(
            repository, revision=revision, allow_patterns=FILES, local_files_only=True
        )
        return Path(place)

    try:
        found = cached()
        if list(found.glob("*.safetensors")) and (found / "config.json").is_file():
            return found, found.name
    except LocalEntryNotFoundError:
        pass  # not in the cache: the hub is asked
    hub = huggingface_hub.HfApi()
    commit = _asked(lambda: hub.model_info(repository, revision=revision, timeout=PATIENCE).sha, name, where)
    place = _asked(
        lambda: huggingface_hub.snapshot_download(
            repository, revision=commit, allow_patterns=FILES, etag_timeout=PATIENCE
        ),
        name,
        where,
    )
    return Path(str(place)), commit


def _asked(question: Callable[[], str | None], name: str, where: str) -> str | None:
    """The hub's answer; each way to get none has a message of its own."""
    from httpx2 import HTTPError
    from huggingface_hub import errors

    try:
        return question()
    except errors.GatedRepoError as error:  # before RepositoryNotFoundError, of which it is a kind
        raise InputError(
            f"{where} '{name}' asks for its terms to be accepted",
            remedy="accept them on its page of the hub, then run `hf auth login`",
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        raise InputError(
            f"{where}: there is no folder '{name}', and the hub has no such model (or it is private)",
            remedy="look for a misspelling, or run `hf auth login`",
        ) from error
    except (HTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
        order = f"hf download {name.replace('@', ' --revision ')} --local-dir backbone"
        said = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise MachineError(
            f"{where} '{name}' is not on this machine, and the hub {hub} cannot be reached ({said})",
            remedy=f"where there is a network run `{order}`, copy the folder here and set {where} to it",
        ) from error


def needed() -> HallmarkError:
    """What to say where the extra is not installed."""
    return MachineError(
        "pretrained backbones need the package transformers, which is not installed",
        remedy="pip install 'hallmark[pretrained]'",
    )
