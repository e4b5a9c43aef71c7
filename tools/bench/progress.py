"""What a person sees while a sweep runs: which system, which rate, how far, and the time left. One line
that is written over on a terminal, else a line a point. Used by sweep.py."""

import shutil
import sys
import time


def duration(seconds):
    s = max(0, round(seconds))
    if s >= 3600:
        return f"{s // 3600} h {s % 3600 // 60:02} min"
    return f"{s // 60} min {s % 60:02} s" if s >= 60 else f"{s} s"


class Progress:
    def __init__(self, total_seconds):
        self.left, self.start, self.planned = total_seconds, time.monotonic(), total_seconds
        self.terminal = sys.stderr.isatty()
        self.open, self.piece = False, 0

    def begin(self, guessed):
        """A piece of work whose time was guessed so; step() tells of its parts."""
        self.piece = guessed

    def step(self, guessed):
        part = min(guessed, self.piece)
        self.piece -= part
        self.left -= part

    def end(self):
        self.left = max(0, self.left - self.piece)
        self.piece = 0

    def remaining(self):
        """What was measured so far corrects the guess."""
        done = self.planned - self.left
        if done < 10:
            return self.left
        return self.left * (time.monotonic() - self.start) / done

    def show(self, where, what):
        line = f"{where}  {what}  left: {duration(self.remaining())}"
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write("\r\x1b[K" + line[:width])
            self.open = True
        else:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def say(self, text):
        """A line that stays."""
        if self.open:
            sys.stderr.write("\r\x1b[K")
            self.open = False
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
