# Snakemake 9.27 hashes every input of a job anew for each of its outputs (`finished` in snakemake/persistence, reported
# as https://github.com/snakemake/snakemake/issues/4240): 73,727 hashes of 585 files after the default study. Here a
# checksum is kept as long as the file keeps its size and date. Without a method of that name nothing is changed.
import hashlib
import os

from snakemake.io import _IOFile


def kept(checksum):
    known = {}

    async def once(self, threshold=None, force=False, algorithm=None):
        try:
            state = os.stat(self.file)
        except OSError:
            return await checksum(self, threshold, force, algorithm)
        name = algorithm if isinstance(algorithm, str) else (algorithm or hashlib.sha256)().name
        key = (os.path.abspath(self.file), state.st_ino, state.st_size, state.st_mtime_ns, name)
        if known.get(key) is None or self.is_storage:
            known[key] = await checksum(self, threshold, force, algorithm)
        return known[key]

    once.kept = True
    return once


if hasattr(_IOFile, "checksum") and not hasattr(_IOFile.checksum, "kept"):
    _IOFile.checksum = kept(_IOFile.checksum)
