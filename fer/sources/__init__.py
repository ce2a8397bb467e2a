"""Sources: where the images of a dataset come from, and how they are read as their owners hand them out.

`resolve` turns what a user names (a path, a URL, Kaggle) into a file or folder on disk; `files`, `names` and `opened`
read it, archives and archives inside archives included.
"""

from fer.sources.archives import is_archive
from fer.sources.places import resolve
from fer.sources.reading import files, image_fault, is_image_name, names, opened

__all__ = ["files", "image_fault", "is_archive", "is_image_name", "names", "opened", "resolve"]
