"""What the tests of wherry bench's parts share: where those parts are found, comparisons that say what they
saw, and TAP. Imported by bench-parts.t and bench-search.t."""

import math
import os
import sys
import traceback

sys.dont_write_bytecode = True
TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(TOP, "tools", "bench"))
os.environ.setdefault("WHERRY_TOOL", "/nonexistent/bin/wherry")

TESTS = []


def test(name):
    def add(f):
        TESTS.append((name, f))
        return f
    return add


def same(a, b):
    assert a == b, f"{a!r} is not {b!r}"


def near(a, b, relative):
    assert math.isclose(a, b, rel_tol=relative), f"{a} is not near {b}"


def raises(kind, text, f, *args):
    try:
        f(*args)
    except kind as e:
        assert text in str(e), f"{e} lacks {text!r}"
        return e
    raise AssertionError(f"no error; wanted {text!r}")


def run():
    """Ends the program."""
    print(f"1..{len(TESTS)}")
    failed = 0
    for number, (name, f) in enumerate(TESTS, 1):
        try:
            f()
            print(f"ok {number} - {name}")
        except Exception:
            failed = 1
            print(f"not ok {number} - {name}")
            print("".join("# " + line + "\n" for line in traceback.format_exc().splitlines()), end="")
    sys.exit(failed)
