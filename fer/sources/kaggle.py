"""Downloads by Kaggle's own client, with the user's own token."""

from __future__ import annotations

import io
import os
import re
import shutil
import zipfile
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType

from fer.errors import FerError
from fer.progress import on_terminal
from fer.sources.download import BY_HAND, root
from fer.storage import FULL, naming

SPEC = re.compile(r"kaggle:(?:competitions/(?P<competition>[\w-]+)|datasets/(?P<dataset>[\w-]+/[\w-]+))")
LOGGING_IN = (
    "make one at https://www.kaggle.com/settings/api and save it as ~/.kaggle/access_token (or kaggle.json, of the "
    "older kind, in the same folder), or set KAGGLE_API_TOKEN (KAGGLE_USERNAME and KAGGLE_KEY)"
)


def download_kaggle(spec: str, folder: Path) -> Path:
    """Return the archive that `spec` names, fetched into `folder` unless it is there already.

    Raises:
        FerError: the client is not installed, has no token, or Kaggle refuses.
    """
    match = SPEC.fullmatch(spec)
    if match is None:
        raise FerError(f"source {spec!r}: expected kaggle:competitions/NAME or kaggle:datasets/OWNER/NAME")
    target = folder / f"{match['competition'] or match['dataset']}.zip"
    if target.exists():
        return target
    api = client().api
    under_way = target.parent / ".kaggle"  # where the client resumes a download
    under_way.mkdir(parents=True, exist_ok=True)
    try:
        with redirect_stdout(io.StringIO()), naming(under_way / target.name):
            if match["competition"]:
                api.competition_download_files(match["competition"], path=str(under_way), quiet=not on_terminal())
            else:
                api.dataset_download_files(match["dataset"], path=str(under_way), quiet=not on_terminal())
    except (Exception, SystemExit) as error:  # the client has no errors of its own, and some versions exit
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        raise FerError(
            f"{spec} cannot be downloaded: {root(error)}. If Kaggle refuses it, agree to its rules or licence on "
            f"https://www.kaggle.com/{spec.removeprefix('kaggle:')} and check that your token is valid."
        ) from error
    arrived = under_way / target.name
    if not arrived.exists() or not zipfile.is_zipfile(arrived):
        sent = ", ".join(sorted(path.name for path in under_way.iterdir())) or "nothing"
        shutil.rmtree(under_way)
        raise FerError(f"{spec}: Kaggle sent {sent}, expected a whole {target.name}; try again, or {BY_HAND}")
    os.replace(arrived, target)
    shutil.rmtree(under_way)
    return target


def client() -> ModuleType:
    """Return Kaggle's client, logged in. Some versions do that, or exit, as soon as they are imported."""
    try:
        with redirect_stdout(io.StringIO()):
            import kaggle

            kaggle.api.authenticate()
    except ImportError as error:
        raise FerError(f'Kaggle\'s client is missing ({error}): pip install -e ".[kaggle]"') from error
    except (Exception, SystemExit) as error:
        raise FerError(f"Kaggle's client has no valid token: {LOGGING_IN}") from error
    return kaggle
