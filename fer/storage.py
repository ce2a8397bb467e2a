"""Files that are either whole or absent: every artifact is written beside its name and renamed when complete."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import time
import tokenize
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer.errors import FerError

if TYPE_CHECKING:  # imported where they are used: the engines write and read JSON alone
    import pandas as pd
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

# What is buffered before it reaches the disk, rows or bytes of images: bounds the memory of every streaming stage
ROW_GROUP, ROW_GROUP_BYTES = 1024, 64 << 20
ORIGINALS = 256  # encoded images of raw in memory
PARQUET = {"compression": "zstd", "write_page_checksum": True}
HOST = re.sub(r"\W", "-", platform.node())[:40]  # without dots: what a scratch name is taken apart by
DAY = 24 * 60 * 60  # seconds
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no room for a file: the error then names it


@contextmanager
def atomic(target: Path) -> Iterator[Path]:
    """Yield a scratch path beside `target`; on success it takes the target's name, on failure it is removed.

    The scratch name, `.<name>.<host>.<process>.partial`, belongs to this process alone, even if several machines
    share the folder. What killed jobs left behind is removed first.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target)
    scratch = target.with_name(f".{target.name}.{HOST}.{os.getpid()}.partial")
    try:
        with naming(target, scratch):
            yield scratch
            with open(scratch, "rb+") as handle:
                os.fsync(handle.fileno())
            os.replace(scratch, target)
    except BaseException:
        with suppress(OSError):  # never made, or its name is too long: the first error is the one to tell
            scratch.unlink()
        raise


def sweep(target: Path) -> None:
    """Remove the scratch files of `target` whose process has died: here by its number, elsewhere after a day."""
    for left in target.parent.glob(f".{escape(target.name)}.*.partial"):
        import psutil  # takes a tenth of a second, which a job need not wait for where nothing was left

        host, _, process = left.name.removeprefix(f".{target.name}.").removesuffix(".partial").rpartition(".")
        with suppress(FileNotFoundError):  # its process has just renamed or removed it
            if not psutil.pid_exists(int(process)) if host == HOST else time.time() - left.stat().st_mtime > DAY:
                left.unlink()


@contextmanager
def naming(path: Path, scratch: Path | None = None) -> Iterator[None]:
    """Name the file or folder that cannot be written: a failed open names its `scratch` file, a full disk none."""
    try:
        yield
    except OSError as error:
        if (error.errno in FULL and error.filename is None) or (scratch and error.filename in (scratch, str(scratch))):
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise


def write_bytes(target: Path, data: bytes | memoryview) -> None:
    """Write a file whole or not at all."""
    with atomic(target) as scratch:
        scratch.write_bytes(data)


def write_text(target: Path, text: str) -> None:
    """Write a file as UTF-8, whole or not at all."""
    write_bytes(target, text.encode())


def write_json(target: Path, value: object, indent: int | None = 2) -> None:
    """Write `value` as JSON with sorted keys, so that equal values make equal files; `indent=None`: in one line."""
    write_text(target, json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict:
    """Return what a JSON file holds.

    Raises:
        FerError: it does not exist, or is damaged.
    """
    with whole(path):
        return json.loads(require(path).read_text(encoding="utf-8"))


def write_rows(
    target: Path, schema: pa.Schema, rows: Iterable[dict], metadata: Callable[[], dict[str, str]] = dict
) -> int:
    """Stream `rows` into a Parquet file, a row group at a time; return their number.

    `metadata` is called after the last row and returns what the file says about itself.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    count = 0
    with atomic(target) as scratch, ParquetWriter(scratch, schema, **PARQUET) as writer:
        for group in row_groups(rows):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            count += len(group)
        writer.add_key_value_metadata(metadata())
    return count


def row_groups(rows: Iterable[dict]) -> Iterator[list[dict]]:
    """Yield lists of rows, each closed when it holds `ROW_GROUP` rows or `ROW_GROUP_BYTES` of binary values."""
    group, size = [], 0
    for row in rows:
        group.append(row)
        size += sum(len(value) for value in row.values() if isinstance(value, bytes))
        if len(group) == ROW_GROUP or size >= ROW_GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def read_rows(path: Path, columns: list[str] | None = None, batch: int = 256) -> Iterator[dict]:
    """Yield the rows of a Parquet file in order, holding only `batch` of them in memory."""
    file = open_parquet(path)
    for group in range(file.num_row_groups):  # Arrow, asked for all at once, keeps each until the last is read
        for chunk in read_batches(file.iter_batches(batch, row_groups=[group], columns=columns), path):
            yield from chunk.to_pylist()


def read_originals(raw: Path, samples: np.ndarray) -> Iterator[tuple[int, bytes]]:
    """Yield (sample, encoded image) for the sorted `samples`, with a few in memory.

    Row groups of the file without any of them are not read.
    """
    file, row = open_parquet(raw), 0
    for group in range(file.num_row_groups):
        end = row + file.metadata.row_group(group).num_rows
        if np.searchsorted(samples, row) < np.searchsorted(samples, end):
            for batch in read_batches(file.iter_batches(ORIGINALS, row_groups=[group], columns=["image"]), raw):
                own = samples[slice(*np.searchsorted(samples, (row, row + len(batch))))]
                yield from zip(own.tolist(), batch.column("image").take(own - row).to_pylist(), strict=True)
                row += len(batch)
        row = end


def read_batches(batches: Iterator[pa.RecordBatch], path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the batches that are read from a file, which may turn out to be damaged at any."""
    while True:
        with whole(path):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def read_frame(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Return a whole Parquet file, or some columns of it."""
    with whole(path):
        return open_parquet(path).read(columns).to_pandas()


def write_frame(target: Path, frame: pd.DataFrame) -> None:
    """Write a table as Parquet, whole or not at all, without its index."""
    with atomic(target) as scratch:
        frame.to_parquet(scratch, index=False, **PARQUET)


def read_csv(path: Path) -> pd.DataFrame:
    """Return a CSV file as a table; pandas chooses the types of its columns."""
    import pandas as pd

    with whole(path):
        return pd.read_csv(require(path))


def open_parquet(path: Path) -> ParquetFile:
    """Open a Parquet file whose pages are checked against their checksums as they are read."""
    from pyarrow.parquet import ParquetFile

    with whole(path):
        return ParquetFile(require(path), page_checksum_verification=True)


def read_array(path: Path) -> np.ndarray:
    """Return the array of a `.npy` file, mapped into memory."""
    with whole(path):
        return np.load(require(path), mmap_mode="r")


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Turn what readers raise for a damaged file into an error that names the file and says how to restore it."""
    try:
        yield
    except damage() as error:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) not in (None, errno.EIO):
            raise
        raise FerError(
            f"{path} is damaged ({error}). `make verify` restores it from DVC's cache; or delete it and run the "
            "stage that makes it."
        ) from error


def damage() -> tuple[type[Exception], ...]:
    """Return what readers raise of a damaged file."""
    from pyarrow import ArrowException

    return ArrowException, OSError, ValueError, EOFError, tokenize.TokenError


@contextmanager
def array_writer(target: Path, shape: tuple[int, ...], dtype: str = "uint8") -> Iterator[ArrayWriter]:
    """Stream an array of known `shape` into a `.npy` file, row after row.

    Plain writes rather than a memory map: a full disk is then an `OSError`, not a bus error that kills the process.
    """
    with atomic(target) as scratch, open(scratch, "wb") as handle:
        header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(handle, header)
        writer = ArrayWriter(handle, shape, np.dtype(dtype))
        yield writer
        if writer.rows != shape[0]:
            raise FerError(f"{target}: {writer.rows} rows were written where {shape[0]} were announced")


class ArrayWriter:
    """Appends rows to the `.npy` file that `array_writer` opened."""

    def __init__(self, handle, shape: tuple[int, ...], dtype: np.dtype):
        self.handle, self.row_shape, self.dtype, self.rows = handle, shape[1:], dtype, 0

    def append(self, row: np.ndarray) -> None:
        """Write the next row; another shape or dtype than announced is a ValueError."""
        if row.shape != self.row_shape or row.dtype != self.dtype:
            raise ValueError(f"a row of {row.dtype}{row.shape} in an array of {self.dtype}{self.row_shape}")
        self.handle.write(np.ascontiguousarray(row).tobytes())
        self.rows += 1


def remove_others(folder: Path, wanted: list[Path]) -> None:
    """Remove what is not wanted from a folder that DVC records as a whole: files of an earlier version of the study."""
    for path in set(folder.glob("*")) - set(wanted):
        path.unlink()


def require(path: Path) -> Path:
    """Return `path` if it exists; otherwise say which stage is missing."""
    if not path.exists():
        raise FerError(f"{path} does not exist. Run the stage that makes it, or all of them: snakemake --cores 8 all")
    return path


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits, without holding it in memory."""
    with open(require(path), "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def batched(items: Iterable, size: int) -> Iterator[list]:
    """Yield lists of `size` items, the last one shorter (itertools.batched, which Python 3.11 lacks)."""
    group: list = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
