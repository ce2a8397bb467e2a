"""From what a user names as a source to a file or folder on disk."""

from __future__ import annotations

from pathlib import Path

from fer.errors import FerError
from fer.params import Dataset

DOWNLOADS = Path("sources/downloads")  # in the project's folder, not under version control


def resolve(spec: str, name: str, parameters: Dataset, downloads: Path = DOWNLOADS) -> Path:
    """Return the file or folder that `spec` means, downloaded if need be.

    Args:
        spec: a path ("~" allowed), a URL, "kaggle:competitions/NAME", "kaggle:datasets/OWNER/NAME", or "download" for
            every file of `parameters.downloads`.
        name: of the dataset; what is downloaded goes to `downloads/<name>/`.

    Raises:
        FerError: there is nothing at the path, or it cannot be downloaded.
    """
    folder = downloads / name
    if spec == "download":
        from fer.sources.download import download_all

        return download_all(parameters, folder)
    if spec.startswith(("http://", "https://")):
        from fer.sources.download import download

        return download(spec, folder)
    if spec.startswith("kaggle:"):
        from fer.sources.kaggle import download_kaggle

        return download_kaggle(spec, folder)
    if "://" in spec or not spec.strip():
        raise FerError(
            f"source {spec!r} is not a valid source; expected synthetic, the path of an archive, file or "
            "folder, http://… or https://…, kaggle:competitions/NAME, kaggle:datasets/OWNER/NAME, or download"
        )
    path = Path(spec).expanduser()
    if not path.exists():
        raise FerError(
            f"the source {path} does not exist.\n  How to obtain {parameters.title}: {parameters.obtain}\n"
            f"  Put it at {path.absolute()}, or give its path as `source` in the study file or with --source, "
            "or use --source synthetic."
        )
    return path
