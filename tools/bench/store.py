"""The raw records of a sweep: one JSON object a line, each on the disk before the sweep goes on, so that
whatever happens, what was measured is kept and the sweep can go on later. A line that was cut off is
taken away when the file is opened again. Used by sweep.py (to write) and report.py (to read)."""

import errno
import gzip
import json
import lzma
import os

from common import BenchError

NAME = "raw.jsonl"
OPENERS = {"": open, ".gz": gzip.open, ".xz": lzma.open}


class StoreError(BenchError):
    """Records can no longer be kept: nothing goes on after this."""


def parse(lines, path):
    out = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            record["record"]
        except (ValueError, TypeError, KeyError):
            raise BenchError(f"{path}:{number}: this is no record of wherry bench") from None
        out.append(record)
    return out


def read(directory):
    """All records; the file may have been compressed since."""
    for ending, opener in OPENERS.items():
        path = os.path.join(directory, NAME + ending)
        if os.path.exists(path):
            try:
                with opener(path, "rb") as f:
                    data = f.read()
            except (OSError, EOFError, lzma.LZMAError) as e:
                raise BenchError(f"{path}: {getattr(e, 'strerror', None) or e}") from None
            lines = data.split(b"\n")
            lines.pop()  # behind the last newline: nothing, or a line that was cut off
            return parse(lines, path)
    raise BenchError(f"{directory}: there is no {NAME} (of wherry bench) in it")


class Store:
    def __init__(self, directory, resume):
        self.aliases = {}
        self.path = os.path.join(directory, NAME)
        self.records = []
        try:
            if resume:
                self.records = read(directory)
            self.file = open(self.path, "r+b" if resume else "xb", buffering=0)
            if resume:
                data = self.file.read()
                self.size = data.rfind(b"\n") + 1
                self.file.truncate(self.size)
                self.file.seek(self.size)
            else:
                self.size = 0
        except FileExistsError:
            raise BenchError(f"{directory} holds a sweep already: --resume {directory} goes on with it") from None
        except OSError as e:
            raise BenchError(f"{self.path}: {e.strerror}") from None

    def add(self, record):
        """Returns when the record is on the disk; else it is not in the file at all."""
        text = json.dumps(record, separators=(",", ":"), allow_nan=False)
        for path, name in self.aliases.items():
            text = text.replace(path, name)
        line = text.encode() + b"\n"
        try:
            done = 0
            while done < len(line):
                done += self.file.write(line[done:])
            os.fsync(self.file.fileno())
        except OSError as e:
            self.file.truncate(self.size)
            self.file.seek(self.size)
            what = "the disk is full" if e.errno in (errno.ENOSPC, errno.EDQUOT) else e.strerror
            raise StoreError(f"{self.path}: {what}; the {len(self.records)} records before are whole") from None
        self.size += len(line)
        self.records.append(record)

    def alias(self, path, name):
        """From now on records have name for a directory: where it lies is nobody's business, and differs."""
        self.aliases[json.dumps(path)[1:-1]] = name

    def close(self):
        self.file.close()
