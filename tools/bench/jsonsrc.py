"""JSON with line numbers: a reader for files that people write by hand. Objects and arrays that it
returns remember on which line each member stands, so that whoever checks them can say where a
mistake is. RFC 8259, and stricter where it helps: a key given twice is an error. Used by spec.py."""

import re

NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
STRING = re.compile(r'"((?:[^"\\\x00-\x1f]|\\.)*)"')
ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
WORDS = {"true": True, "false": False, "null": None}
DEPTH_MAX = 50


class SourceError(Exception):
    """What is wrong, and on which line."""

    def __init__(self, line, what):
        super().__init__(what)
        self.line = line


class Object(dict):
    """A dict whose .lines has the line of each key, .line its own."""

    def __init__(self, line):
        super().__init__()
        self.line, self.lines = line, {}


class Array(list):
    """A list whose .lines has the line of each item, .line its own."""

    def __init__(self, line):
        super().__init__()
        self.line, self.lines = line, []


class Reader:
    def __init__(self, text):
        self.text, self.at, self.depth = text, 0, 0

    def line(self):
        return self.text.count("\n", 0, self.at) + 1

    def fail(self, what):
        raise SourceError(self.line(), what)

    def space(self):
        while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
            self.at += 1
        return self.text[self.at] if self.at < len(self.text) else ""

    def expect(self, chars, what):
        c = self.space()
        if not c:
            self.fail(f"the file ends where {what} should be")
        if c not in chars:
            self.fail(f"{c!r} where {what} should be")
        self.at += 1
        return c

    def string(self):
        m = STRING.match(self.text, self.at)
        if not m:
            self.fail("a string does not end on its line")
        self.at = m.end()

        def escape(e):
            if e.group(1):
                return chr(int(e.group(1), 16))
            if e.group(2) not in ESCAPES:
                self.fail(f"unknown escape \\{e.group(2)}")
            return ESCAPES[e.group(2)]

        return re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", escape, m.group(1))

    def value(self):
        c = self.space()
        if c == "{" or c == "[":
            self.depth += 1
            if self.depth > DEPTH_MAX:
                self.fail("nested too deeply")
            v = self.object() if c == "{" else self.array()
            self.depth -= 1
            return v
        if c == '"':
            return self.string()
        m = NUMBER.match(self.text, self.at)
        if m:
            self.at = m.end()
            return float(m.group()) if m.group(1) or m.group(2) else int(m.group())
        word = re.match(r"[A-Za-z_]+", self.text[self.at:self.at + 40])
        if word and word.group() in WORDS:
            self.at += word.end()
            return WORDS[word.group()]
        if word:
            self.fail(f"{word.group()!r} is no JSON value; strings need double quotes")
        self.fail(f"{c!r} where a value should be" if c else "the file ends where a value should be")

    def object(self):
        o = Object(self.line())
        self.at += 1
        if self.space() == "}":
            self.at += 1
            return o
        while True:
            if self.space() != '"':
                self.fail("a key in double quotes should be here")
            line, key = self.line(), self.string()
            if key in o:
                self.fail(f"{key!r} is given twice, first on line {o.lines[key]}")
            self.expect(":", f"the ':' behind {key!r}")
            self.space()
            o.lines[key] = line
            o[key] = self.value()
            if self.expect(",}", "',' or '}'") == "}":
                return o

    def array(self):
        a = Array(self.line())
        self.at += 1
        if self.space() == "]":
            self.at += 1
            return a
        while True:
            self.space()
            a.lines.append(self.line())
            a.append(self.value())
            if self.expect(",]", "',' or ']'") == "]":
                return a


def read(text):
    r = Reader(text)
    v = r.value()
    if r.space():
        r.fail("something follows the end of the value")
    return v
