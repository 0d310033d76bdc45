"""A headless Chromium, driven over the WebDriver protocol of chromedriver with nothing but Python's own library.

Every start has a profile of its own, and ends its processes whatever happens.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--force-color-profile=srgb",
]
# Watches a page from before its first byte is read.
WATCH = """
window.seen = {violations: [], shift: 0};
document.addEventListener('securitypolicyviolation', e =>
  window.seen.violations.push(e.effectiveDirective + ' ' + e.blockedURI + ' ' + e.sample));
new PerformanceObserver(list => list.getEntries().forEach(e => window.seen.shift += e.value))
  .observe({type: 'layout-shift', buffered: true});
"""

# The driver is on this machine, whatever proxy there is.
OPEN = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class Browser:
    """One browser with one tab."""

    def __init__(self):
        self.home = tempfile.mkdtemp(prefix="browser-")
        self.downloads = os.path.join(self.home, "downloads")
        os.mkdir(self.downloads)
        environment = dict(os.environ, HOME=self.home, LC_ALL="C.UTF-8")
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0", "--log-level=SEVERE"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )
        self.session = None
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self):
        port = None
        for line in self.driver.stdout:
            started = re.search(r"started successfully on port (\d+)", line)
            if started:
                port = started.group(1)
                break
        if port is None:
            raise RuntimeError("chromedriver did not start")
        self.url = f"http://127.0.0.1:{port}"
        profile = "--user-data-dir=" + os.path.join(self.home, "profile")
        wanted = {
            "browserName": "chrome",
            "unhandledPromptBehavior": "ignore",
            # What a click brings may take a moment to be there.
            "timeouts": {"pageLoad": 20000, "script": 10000, "implicit": 5000},
            "goog:chromeOptions": {"binary": shutil.which("chromium"), "args": [*FLAGS, profile]},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        begun = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = "/session/" + begun["sessionId"]
        self.devtools("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        self.devtools("Browser.setDownloadBehavior", behavior="allow", downloadPath=self.downloads)

    def _ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with OPEN(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            told = json.load(error)["value"]
            raise RuntimeError(f"{method} {path}: {told['error']}: {told['message']}") from None

    def close(self):
        """Ends the browser and forgets everything it had."""
        try:
            if self.session:
                self._ask("DELETE", self.session)
        except (OSError, RuntimeError):
            pass
        self.driver.terminate()
        try:
            self.driver.wait(10)
        except subprocess.TimeoutExpired:
            self.driver.kill()
            self.driver.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def devtools(self, command, **parameters):
        body = {"cmd": command, "params": parameters}
        return self._ask("POST", self.session + "/goog/cdp/execute", body)

    def run(self, script, *arguments):
        """Runs the body of a function in the page; gives back what it returns."""
        body = {"script": script, "args": list(arguments)}
        return self._ask("POST", self.session + "/execute/sync", body)

    def open(self, url):
        self._ask("POST", self.session + "/url", {"url": url})

    def address(self):
        return self._ask("GET", self.session + "/url")

    def find(self, selector):
        body = {"using": "css selector", "value": selector}
        return self._ask("POST", self.session + "/element", body)[ELEMENT]

    def click(self, selector):
        self._ask("POST", f"{self.session}/element/{self.find(selector)}/click", {})

    def type(self, selector, text):
        self._ask("POST", f"{self.session}/element/{self.find(selector)}/value", {"text": text})

    def press(self, key):
        """A key, by its WebDriver code."""
        keys = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        actions = {"actions": [{"type": "key", "id": "keyboard", "actions": keys}]}
        self._ask("POST", self.session + "/actions", actions)

    def dialog(self):
        """The text of an open alert, if there is one."""
        try:
            return self._ask("GET", self.session + "/alert/text")
        except RuntimeError as error:
            if "no such alert" in str(error):
                return None
            raise

    def log(self, kind):
        """What came into a log since it was asked for last."""
        return self._ask("POST", self.session + "/se/log", {"type": kind})

    def network(self):
        """The events of the network since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        return [m for m in messages if m["method"].startswith("Network.")]

    def as_device(self, width, height, scheme="light", media="", scale=1):
        """Looks like a device from now on."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.devtools("Emulation.setEmulatedMedia", media=media, features=features)

    def picture(self, path):
        """The whole page, as a PNG."""
        taken = self.devtools("Page.captureScreenshot", captureBeyondViewport=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(taken["data"]))

    def downloaded(self, seconds=20):
        """Waits for one whole download; its name and its bytes. The file is gone then."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            names = os.listdir(self.downloads)
            if names and not any(n.endswith(".crdownload") or n.startswith(".") for n in names):
                path = os.path.join(self.downloads, names[0])
                with open(path, "rb") as file:
                    content = file.read()
                os.remove(path)
                return names[0], content
            time.sleep(0.02)
        raise RuntimeError(f"nothing was downloaded: {os.listdir(self.downloads)}")
