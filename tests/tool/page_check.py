"""page_check.py FILE: opens a report in headless Chromium from its file, at the widths of a phone and of a
desk, light and dark, by the DevTools protocol over a pipe. Fails on an error on the console, a request
for anything but the file, or a page wider than its window. Used by bench-sweep.t."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time

LIMIT = 40


class Browser:
    def __init__(self, profile):
        to_child, self.out = os.pipe()
        self.inp, from_child = os.pipe()
        self.number, self.buffer, self.events = 0, b"", []

        def descriptors():
            # Chromium reads commands from descriptor 3 and writes to 4; ours may be in the way there.
            a, b = os.dup2(to_child, 20), os.dup2(from_child, 21)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.process = subprocess.Popen(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"], preexec_fn=descriptors,
            close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_child)
        os.close(from_child)

    def message(self, end):
        while b"\0" not in self.buffer:
            if not select.select([self.inp], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            block = os.read(self.inp, 1 << 16)
            if not block:
                raise EOFError("Chromium ended")
            self.buffer += block
        line, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(line)

    def call(self, method, session=None, **params):
        self.number += 1
        text = {"id": self.number, "method": method, "params": params}
        if session:
            text["sessionId"] = session
        os.write(self.out, json.dumps(text).encode() + b"\0")
        end = time.monotonic() + LIMIT
        while True:
            m = self.message(end)
            if m.get("id") == self.number:
                if "error" in m:
                    raise RuntimeError(f"{method}: {m['error']['message']}")
                return m["result"]
            self.events.append(m)

    def wait(self, method):
        end = time.monotonic() + LIMIT
        while not any(e.get("method") == method for e in self.events):
            self.events.append(self.message(end))

    def close(self):
        self.process.terminate()
        self.process.wait(20)


MEASURE = """(() => {
  const wide = [];
  for (const e of document.body.querySelectorAll('*'))
    if (!e.closest('.box, pre') && e.getBoundingClientRect().right > innerWidth + 1) wide.push(e.tagName);
  return {scroll: document.documentElement.scrollWidth, inner: innerWidth, wide, pictures: document.querySelectorAll('figure svg').length,
          tables: document.querySelectorAll('.box table').length, back: getComputedStyle(document.body).backgroundColor,
          text: getComputedStyle(document.body).color, stroke: getComputedStyle(document.querySelector('figure svg')).color};
})()"""


def check(browser, url):
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        browser.call(f"{domain}.enable", session)
    colours = set()
    for width, scheme in ((360, "light"), (360, "dark"), (1200, "light")):
        browser.call("Emulation.setDeviceMetricsOverride", session, width=width, height=740, deviceScaleFactor=1, mobile=width < 500)
        browser.call("Emulation.setEmulatedMedia", session, features=[{"name": "prefers-color-scheme", "value": scheme}])
        browser.events.clear()
        browser.call("Page.navigate", session, url=url)
        browser.wait("Page.loadEventFired")
        got = browser.call("Runtime.evaluate", session, expression=MEASURE, returnByValue=True)["result"]["value"]
        assert got["inner"] == width and got["scroll"] <= width, f"{width} px: the page is {got['scroll']} px wide"
        assert not got["wide"], f"{width} px: too wide: {got['wide'][:5]}"
        assert got["pictures"] >= 3 and got["tables"] >= 2, got
        assert got["stroke"] == got["text"] != got["back"], got
        colours.add((scheme, got["back"]))
        for e in browser.events:
            what = e.get("method")
            assert what not in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"), e
            if what == "Network.requestWillBeSent":
                asked = e["params"]["request"]["url"]
                assert asked == url or asked.startswith("data:"), f"asks for {asked}"
    assert len(colours) == 2 and len({c for _, c in colours}) == 2, f"light and dark look the same: {colours}"


with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    browser = Browser(profile)
    try:
        check(browser, "file://" + os.path.abspath(sys.argv[1]))
    finally:
        browser.close()
