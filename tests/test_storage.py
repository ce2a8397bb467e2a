"""Files are whole or absent."""

import gc
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from functools import partial
from multiprocessing.connection import Connection

import numpy as np
import pyarrow as pa
import pytest

from fer import storage
from fer.errors import FerError
from fer.parallel import ordered_map


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_beside_it(tmp_path):
    target = tmp_path / "x.txt"
    storage.write_text(target, "old")
    with pytest.raises(RuntimeError), storage.atomic(target) as scratch:
        scratch.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_until_it_is_whole_a_file_does_not_bear_its_name(tmp_path):
    with storage.atomic(tmp_path / "x.txt") as scratch:
        scratch.write_text("growing")
        assert not (tmp_path / "x.txt").exists()
    assert (tmp_path / "x.txt").read_text() == "growing"


def scratch_of(folder, host, process):
    scratch = folder / f".x.txt.{host}.{process}.partial"
    scratch.write_text("half")
    return scratch


def ended_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_a_killed_job_left_is_removed_by_the_next(tmp_path):
    scratch_of(tmp_path, storage.HOST, ended_process())
    storage.write_text(tmp_path / "x.txt", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]


def test_the_scratch_file_of_a_running_process_is_left_alone(tmp_path):
    theirs = scratch_of(tmp_path, storage.HOST, os.getppid())
    storage.write_text(tmp_path / "x.txt", "whole")
    assert theirs.exists()


def test_the_scratch_file_of_another_host_is_removed_after_a_day(tmp_path):
    fresh, stale = (scratch_of(tmp_path, "another-host", number) for number in (1, 2))
    os.utime(stale, (0, 0))
    storage.write_text(tmp_path / "x.txt", "whole")
    assert fresh.exists() and not stale.exists()


def test_two_writers_of_one_file_each_write_their_own(tmp_path):
    code = (
        "import sys; from pathlib import Path; from fer import storage; storage.write_text(Path(sys.argv[1]), 'theirs')"
    )
    with storage.atomic(tmp_path / "x.txt") as scratch:
        scratch.write_text("ours")
        subprocess.run([sys.executable, "-c", code, tmp_path / "x.txt"], check=True)
        assert (tmp_path / "x.txt").read_text() == "theirs"
    assert (tmp_path / "x.txt").read_text() == "ours"


def test_a_streamed_array_is_an_npy_file(tmp_path):
    rows = np.random.default_rng(0).integers(0, 256, (5, 3, 2), dtype=np.uint8)
    with storage.array_writer(tmp_path / "x.npy", rows.shape) as writer:
        for row in rows:
            writer.append(row)
    assert np.array_equal(np.load(tmp_path / "x.npy", mmap_mode="r"), rows)


def test_an_array_with_too_few_rows_is_refused_and_not_kept(tmp_path):
    with (
        pytest.raises(FerError, match="1 rows were written where 2"),
        storage.array_writer(tmp_path / "x.npy", (2, 3)) as writer,
    ):
        writer.append(np.zeros(3, np.uint8))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("row", [np.zeros(4, np.uint8), np.zeros(3, np.float32)])
def test_a_row_of_another_shape_or_type_is_refused(tmp_path, row):
    with pytest.raises(ValueError, match="a row of"), storage.array_writer(tmp_path / "x.npy", (1, 3)) as writer:
        writer.append(row)


def test_rows_are_streamed_in_order_across_groups(tmp_path):
    schema = pa.schema([("number", pa.int64())])
    count = storage.write_rows(tmp_path / "x.parquet", schema, ({"number": n} for n in range(2500)))
    assert count == 2500
    assert [row["number"] for row in storage.read_rows(tmp_path / "x.parquet", batch=7)] == list(range(2500))


def test_a_truncated_parquet_file_is_named_with_what_to_do(tmp_path):
    path = tmp_path / "x.parquet"
    storage.write_rows(path, pa.schema([("n", pa.int64())]), [{"n": 1}])
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(FerError, match=r"x\.parquet is damaged.*delete it"):
        list(storage.read_rows(path))


def test_a_missing_file_names_the_way_to_make_it(tmp_path):
    with pytest.raises(FerError, match="snakemake --cores 8 all"):
        storage.require(tmp_path / "none.parquet")


def test_equal_values_make_equal_json(tmp_path):
    storage.write_json(tmp_path / "a", {"x": 1, "y": [0.1]})
    storage.write_json(tmp_path / "b", {"y": [0.1], "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_figure_that_is_no_number_never_reaches_a_json_file(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        storage.write_json(tmp_path / "a", {"accuracy": float("nan")})
    assert not (tmp_path / "a").exists()


@pytest.fixture(params=[0, 1e-5], ids=["all by processes", "some here, the rest by processes"])
def alone(request, monkeypatch):
    monkeypatch.setattr("fer.parallel.ALONE", request.param)


def test_work_over_processes_keeps_the_order(alone):
    assert list(ordered_map(abs, range(-300, 0))) == list(range(300, 0, -1))


def test_a_small_piece_of_work_starts_no_process():
    assert set(ordered_map(pid, range(300))) == {os.getpid()}


def test_a_large_one_is_spread(monkeypatch):
    monkeypatch.setattr("fer.parallel.ALONE", 0)
    assert os.getpid() not in set(ordered_map(pid, range(300)))


def pid(_):
    return os.getpid()


def test_an_error_of_a_worker_is_raised_where_the_results_are_read(monkeypatch):
    monkeypatch.setattr("fer.parallel.ALONE", 0)
    with pytest.raises(FerError, match="does not exist"):
        list(ordered_map(storage.file_sha256, [storage.Path("/nowhere")]))


def test_a_worker_that_dies_is_an_error_and_no_hang(monkeypatch):
    monkeypatch.setattr("fer.parallel.ALONE", 0)
    with pytest.raises(FerError, match="worker process died"):
        list(ordered_map(storage.os._exit, [1]))


def test_a_worker_that_dies_while_more_is_sent_than_a_pipe_holds_is_an_error_and_no_hang(monkeypatch):
    monkeypatch.setattr("fer.parallel.ALONE", 0)
    for _ in range(3):
        with pytest.raises(FerError, match="worker process died"):
            list(ordered_map(die, [bytes(100_000)] * 300))


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("error", [EOFError, ConnectionResetError])
def test_an_error_of_the_work_itself_is_not_taken_for_a_death(error, monkeypatch):
    monkeypatch.setattr("fer.parallel.ALONE", 0)
    with pytest.raises(error, match="of the work") as raised:
        list(ordered_map(partial(fail, error), range(300)))
    assert "in fail" in raised.value.__notes__[0]


def fail(error, _):
    raise error("of the work")


def test_of_several_errors_the_first_in_order_is_raised_after_the_results_before_it(monkeypatch):
    monkeypatch.setattr("fer.parallel.ALONE", 0)
    monkeypatch.setattr("fer.parallel.workers", lambda: 2)
    found = []
    with pytest.raises(ValueError, match="of 40"):
        found.extend(number for number in ordered_map(fail_late, range(300)))
    with pytest.raises(ValueError, match="of 40"):
        for number in ordered_map(fail_late, range(300)):
            found.append(number)
    assert found[-40:] == list(range(40))


def fail_late(number):
    if number == 40:
        time.sleep(0.5)
    if number in (40, 70):
        raise ValueError(f"of {number}")
    return number


def test_an_error_that_cannot_be_sent_is_raised_with_its_traceback(monkeypatch):
    monkeypatch.setattr("fer.parallel.ALONE", 0)
    for function in (fail_with_a_lock, fail_with_two_arguments, make_a_lock):
        with pytest.raises(RuntimeError, match=f"in {function.__name__}|cannot pickle"):
            list(ordered_map(function, range(300)))


class TwoArguments(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first}{second}")


def fail_with_a_lock(_):
    raise ValueError(threading.Lock())


def fail_with_two_arguments(_):
    raise TwoArguments("a", "b")


def make_a_lock(_):
    return threading.Lock()


def test_a_worker_that_dies_in_the_middle_of_its_answer_is_told(monkeypatch):
    monkeypatch.setattr("fer.parallel.ALONE", 0)
    with pytest.raises(FerError, match="worker process died"):
        list(ordered_map(die_in_an_answer, range(300)))


def die_in_an_answer(_):
    pipe = next(item for item in gc.get_objects() if isinstance(item, Connection))
    os.write(pipe.fileno(), struct.pack("!i", 1000) + b"the first of 1000 bytes")
    os._exit(1)


def test_results_ahead_of_a_slow_one_do_not_pile_up(monkeypatch):
    monkeypatch.setattr("fer.parallel.ALONE", 0)
    monkeypatch.setattr("fer.parallel.workers", lambda: 2)
    taken = []
    results = ordered_map(slow_first, (taken.append(number) or number for number in range(2_000)))
    assert next(results) == 0 and len(taken) <= 6 * 32
    assert list(results) == list(range(1, 2_000))


def slow_first(number):
    time.sleep(0.5 if number == 0 else 0)
    return number


def test_an_array_with_too_many_rows_is_refused_and_not_kept(tmp_path):
    with (
        pytest.raises(FerError, match=r"x\.npy: 3 rows were written where 2"),
        storage.array_writer(tmp_path / "x.npy", (2, 3)) as writer,
    ):
        for _ in range(3):
            writer.append(np.zeros(3, np.uint8))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(3, 4), (2, 48, 48), (5, 6, 7, 3)])
def test_a_streamed_array_is_byte_by_byte_what_numpy_saves(tmp_path, shape):
    rows = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with storage.array_writer(tmp_path / "x.npy", shape) as writer:
        for row in rows:
            writer.append(row)
    np.save(tmp_path / "y.npy", rows)
    assert (tmp_path / "x.npy").read_bytes() == (tmp_path / "y.npy").read_bytes()


@pytest.mark.parametrize("size", [0, 3, 100])
def test_a_parquet_file_cut_anywhere_is_named(tmp_path, size):
    path = tmp_path / "x.parquet"
    storage.write_rows(path, pa.schema([("n", pa.int64())]), [{"n": 1}])
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(FerError, match=r"x\.parquet is damaged"):
        storage.open_parquet(path)


def test_json_has_its_keys_in_order_and_its_letters_as_they_are(tmp_path):
    storage.write_json(tmp_path / "a", {"z": 1, "a": "λ"})
    assert (tmp_path / "a").read_text(encoding="utf-8") == '{\n  "a": "λ",\n  "z": 1\n}\n'


@pytest.mark.parametrize(
    "write",
    [
        "storage.write_text(target, 'x' * 50_000)",
        "storage.write_rows(target, pa.schema([('b', pa.binary())]), ({'b': os.urandom(999)} for _ in range(2000)))",
        "list(map(s.enter_context(storage.array_writer(target, (99, 999))).append, np.zeros((99, 999), 'u1')))",
    ],
    ids=["text", "rows", "array"],
)
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path, write):
    code = f"""if True:
        import contextlib, os, pathlib, resource, numpy as np, pyarrow as pa
        from fer import storage
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        target = pathlib.Path({str(tmp_path / "x.data")!r})
        try:
            with contextlib.ExitStack() as s:
                {write}
        except OSError as error:
            print(error)
    """
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "File too large: " in result.stdout and "x.data" in result.stdout, result
    assert not list(tmp_path.iterdir())


@pytest.fixture
def table(tmp_path):
    path, values = tmp_path / "a.parquet", np.random.default_rng(0).integers(0, 2**40, 5000)
    schema = pa.schema([("n", pa.int64())])
    storage.write_rows(path, schema, ({"n": int(value)} for value in values))
    return path


@pytest.mark.parametrize("read", [storage.read_frame, lambda path: list(storage.read_rows(path))])
def test_a_single_flipped_bit_of_a_parquet_file_is_found_by_its_checksum_and_the_file_named(table, read):
    data = bytearray(table.read_bytes())
    for place in range(100, len(data) // 2, len(data) // 20):
        flipped = bytearray(data)
        flipped[place] ^= 1
        table.write_bytes(flipped)
        with pytest.raises(FerError, match=r"a\.parquet is damaged .* `make verify`"):
            read(table)


@pytest.mark.parametrize(
    ("name", "read"),
    [("a.npy", storage.read_array), ("a.json", storage.read_json), ("a.parquet", storage.read_frame)],
)
@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"{", b"PAR1", b"\x80\x04K\x01."])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, name, read, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FerError, match=rf"{name} is damaged .* `make verify`"):
        read(tmp_path / name)


def test_reading_rows_holds_one_group_of_them_in_memory(tmp_path):
    schema = pa.schema([("image", pa.binary())])
    generator = np.random.default_rng(0)
    rows = ({"image": generator.bytes(1000)} for _ in range(20 * storage.ROW_GROUP))
    storage.write_rows(tmp_path / "x.parquet", schema, rows)
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in storage.read_rows(tmp_path / "x.parquet")]
    assert len(held) == 20 * storage.ROW_GROUP
    assert max(held) < 4 * 1000 * storage.ROW_GROUP


def test_a_file_that_cannot_be_opened_is_named_and_not_its_scratch_file(tmp_path):
    with pytest.raises(OSError, match="File name too long") as caught:
        storage.write_text(tmp_path / ("x" * 250), "")
    assert caught.value.filename == str(tmp_path / ("x" * 250))
