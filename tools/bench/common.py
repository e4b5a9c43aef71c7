"""What every part of `wherry bench` uses: the error that a person reads, running other programs with
a limit, and where the tool's files are."""

import os
import shlex
import subprocess
import sys

COMMAND_LIMIT = 60


class BenchError(Exception):
    """Something a person should read in one line."""


def say(text):
    print(f"wherry: {text}", file=sys.stderr, flush=True)


def sh(*argv, limit=COMMAND_LIMIT, **kw):
    """Runs a program to its end and returns what it printed."""
    try:
        r = subprocess.run(argv, capture_output=True, text=True, timeout=limit, stdin=subprocess.DEVNULL, **kw)
    except FileNotFoundError:
        raise BenchError(f"{argv[0]} is not installed (scripts/deps bench)") from None
    except subprocess.TimeoutExpired:
        raise BenchError(f"{shlex.join(argv)}: not done after {limit} s") from None
    if r.returncode != 0:
        why = (r.stderr.strip() or r.stdout.strip()).splitlines()
        raise BenchError(f"{shlex.join(argv)}: {why[-1] if why else f'status {r.returncode}'}")
    return r.stdout


def tool():
    """The `wherry` program that started us."""
    path = os.environ.get("WHERRY_TOOL")
    if not path:
        raise BenchError("start this as wherry bench or wherry report")
    return path


def build_dir():
    return os.path.dirname(os.path.dirname(os.path.realpath(tool())))
