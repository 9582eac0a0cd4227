"""Files and streams that several processes write lines to, while others rotate them."""

import json
import os
import resource
import subprocess
import sys
import time

import pytest

from extauthz.observe.log_output import LogFile, LogStream, open_file

LINE = b'{"n":1}\n'
WRITER = """
import sys
from pathlib import Path
from extauthz.observe.log_output import LogFile
name, path, max_bytes = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
output = LogFile(path, max_bytes or None, 1000)
for number in range(300):
    lines = "".join('{"who":"%s","n":%d,"pad":"%s"}\\n' % (name, 10 * number + i, "x" * (i * 37)) for i in range(10))
    assert output.write(memoryview(lines.encode())) == len(lines)
"""
HOLDER = """
import fcntl, sys, time
held = open(sys.argv[1], "a")
fcntl.flock(held, fcntl.LOCK_EX)
print(flush=True)
time.sleep(0.4)
"""


def lines_of(folder):
    return [json.loads(line) for file in folder.iterdir() for line in file.read_text().splitlines()]


@pytest.mark.parametrize("max_bytes", [0, 200_000], ids=["one file", "rotated meanwhile"])
def test_processes_that_share_a_file_tear_and_lose_no_line(tmp_path, max_bytes):
    path = tmp_path / "log" / "decisions.jsonl"
    path.parent.mkdir()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, name, str(path), str(max_bytes)]) for name in ("a", "b", "c")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    found = sorted((line["who"], line["n"]) for line in lines_of(path.parent))
    assert found == sorted((name, number) for name in "abc" for number in range(3000))
    assert (len(list(path.parent.iterdir())) > 1) is bool(max_bytes)


def test_a_file_that_was_moved_away_is_made_anew_without_a_signal(tmp_path):
    path = tmp_path / "decisions.jsonl"
    output = LogFile(path)
    output.write(memoryview(LINE))
    path.rename(tmp_path / "old")
    output.write(memoryview(LINE))
    path.unlink()
    output.write(memoryview(LINE))
    output.close()
    assert ((tmp_path / "old").read_bytes(), path.read_bytes()) == (LINE, LINE)


def test_only_so_many_files_are_kept_and_none_is_longer_than_asked(tmp_path):
    path = tmp_path / "decisions.jsonl"
    output = LogFile(path, max_bytes=20, keep=2)
    for number in range(9):
        output.write(memoryview(b'{"n":%d}\n' % number))
    output.close()
    kept = {file.name: file.read_text().split() for file in tmp_path.iterdir()}
    assert kept == {
        "decisions.jsonl": ['{"n":8}'],
        "decisions.jsonl.1": ['{"n":6}', '{"n":7}'],
        "decisions.jsonl.2": ['{"n":4}', '{"n":5}'],
    }


def test_a_disk_that_fills_up_within_a_batch_leaves_no_half_line(tmp_path):
    path = tmp_path / "decisions.jsonl"
    output = LogFile(path)
    output.write(memoryview(LINE))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))  # Python ignores SIGXFSZ: a write fails with EFBIG
    try:
        with pytest.raises(OSError):
            output.write(memoryview(LINE * 3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == LINE
    output.write(memoryview(LINE))
    output.close()
    assert path.read_bytes() == LINE * 2


def test_a_stream_gets_whole_lines_in_pieces_that_a_pipe_takes_at_once():
    reading, writing = os.pipe()
    output, lines = LogStream(writing), memoryview((b"x" * 999 + b"\n") * 10)
    assert output.write(lines) == 4000
    assert output.write(lines[8000:]) == 2000
    assert os.read(reading, 10_000).endswith(b"x\n")
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        output.write(lines)
    os.close(writing)


def test_a_name_that_stands_for_a_stream_is_written_to_and_never_rotated(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    output = open_file(fifo, 10, 1)
    for _ in range(3):
        output.write(memoryview(LINE))
    assert os.read(reading, 1000) == LINE * 3
    assert [file.name for file in tmp_path.iterdir()] == ["fifo"]
    os.close(reading)


def test_a_folder_that_permits_no_rotation_costs_no_line(tmp_path, monkeypatch):
    path = tmp_path / "decisions.jsonl"
    output = LogFile(path, max_bytes=10, keep=1)
    (tmp_path / "decisions.jsonl.1" / "in the way").mkdir(parents=True)
    for _ in range(3):
        output.write(memoryview(LINE))
    output.close()
    assert path.read_bytes() == LINE * 3


def test_a_file_that_another_process_holds_for_long_only_waits(tmp_path):
    path = tmp_path / "decisions.jsonl"
    output = LogFile(path)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE)
    holder.stdout.read(1)
    started = time.monotonic()
    output.write(memoryview(LINE))
    assert time.monotonic() - started > 0.2
    holder.communicate()
    assert path.read_bytes() == LINE
    output.close()
