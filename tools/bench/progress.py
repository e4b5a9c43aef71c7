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


PRIOR = 30  # seconds of guesses that are taken to have come true, before there is anything to go by


class Progress:
    """Work is guessed in seconds, and done in pieces with parts. How long parts took beside their guesses
    corrects the guesses of all that is left; what was guessed and not done (a search that ended early) is no
    longer left, and says nothing about the rest."""

    def __init__(self, total_seconds, clock=time.monotonic):
        self.left, self.clock = total_seconds, clock
        self.mark = clock()  # since when what is under way is
        self.took, self.guessed = 0, 0  # of all parts that are done
        self.terminal = sys.stderr.isatty()
        self.open, self.piece = False, 0

    def restart(self):
        """What went before was not in the guess."""
        self.mark = self.clock()

    def begin(self, guessed):
        """A piece of work whose time was guessed so; step() tells of its parts."""
        self.piece = guessed

    def step(self, guessed):
        now = self.clock()
        self.took += now - self.mark
        self.guessed += guessed
        self.mark = now
        part = min(guessed, self.piece)
        self.piece -= part
        self.left = max(0, self.left - part)

    def end(self):
        """What was needed to end the piece, for which there is no guess, is the others' too."""
        self.step(0)
        self.left = max(0, self.left - self.piece)
        self.piece = 0

    def remaining(self):
        rest = self.left * (self.took + PRIOR) / (self.guessed + PRIOR)
        return max(0, rest - (self.clock() - self.mark))

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
