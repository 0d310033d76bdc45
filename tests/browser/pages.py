"""The public pages in a real browser: on a phone and on a desktop, by day and by night.

    pages.py ADDRESS API_KEY PICTURES [NAME]

ADDRESS is that of a running server, PICTURES a folder for screenshots, NAME what the server is called. Prints what
is wrong, a line each, and exits 1 if anything is.
"""

import http.client
import json
import os
import sys
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from webdriver import Browser  # noqa: E402

PAGE_LIMIT = 30_000
CONTENT = b"The content of the file.\n" * 40
TAB = "\ue004"
ENTER = "\ue007"
LONG = "a-very-long-name-without-any-blank-" * 6 + "with-an-end.tar.gz"
# Names that have been markup, script or confusion elsewhere. Each would set `pwned` if it ran.
HOSTILE = [
    "<script>pwned=1<\u2044script>.html",
    "<img src=x onerror=pwned=1>.png",
    '"><svg onload=pwned=1>.svg',
    "' onmouseover='pwned=1' x='",
    "<!--<title><style>*{display:none}.css",
    "<iframe srcdoc='<script>parent.pwned=1<\u2044script>'>",
    "<base href=javascript:pwned=1>",
    "<meta http-equiv=refresh content=0,url=about:blank>",
    "javascript:pwned=1",
    "{{ site }}{% raw %}{# x #}",
    "&lt;script&gt;pwned=1&lt;script&gt;",
    "&#60;script&#62;pwned=1",
    "\u2028\u2029<b>\u0085",
    "\uff1cscript\uff1epwned=1",
    "photo\u202egpj.exe",
    "\u2067\u05d0.exe\u2066.txt",
    "a\x00<b>\x1b[31m",
    "%3Cscript%3Epwned=1",
    "${pwned=1}`pwned=1`",
    "\ufeffname\u200f",
]


class Server:
    """What a client can ask of the server under test."""

    def __init__(self, address, key):
        self.address = address
        self.key = key
        self.host = urllib.parse.urlsplit(address).netloc

    def ask(self, method, target, body=None, headers=None):
        connection = http.client.HTTPConnection(self.host, timeout=30)
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    def upload(self, name, kind="application/octet-stream", content=CONTENT, **fields):
        """Uploads a file; its link as the API gives it, or None when it does not take such a name."""
        fields = {"allowedDownloads": 0, "expiryDays": 7, **fields}
        quoted = name.replace('"', "%22").replace("\r", "").replace("\n", "")
        edge = "edge-of-the-form"
        parts = [
            f'--{edge}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
            for field, value in fields.items()
        ]
        parts.append(
            f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        )
        body = "".join(parts).encode() + content + f"\r\n--{edge}--\r\n".encode()
        headers = {
            "apikey": self.key,
            "Content-Type": f"multipart/form-data; boundary={edge}",
        }
        status, answer = self.ask("POST", "/api/files/add", body, headers)
        if status == 400 and any(ord(c) < 32 for c in name):
            return None
        if status != 200:
            raise RuntimeError(f"upload of {name!r}: {status} {answer!r}")
        return json.loads(answer)["FileInfo"]


class Check:
    """Looks at pages and remembers what is wrong."""

    def __init__(self, browser, server, pictures):
        self.browser = browser
        self.server = server
        self.pictures = pictures
        self.wrong = []
        self.looks = 0
        here = os.path.dirname(os.path.abspath(__file__))
        with open(os.path.join(here, "inspect.js"), encoding="utf-8") as file:
            self.inspect = file.read()

    def say(self, where, what):
        self.wrong.append(f"{where}: {what}")

    def expect(self, where, found, wanted):
        if found != wanted:
            self.say(where, f"{found!r} instead of {wanted!r}")

    def page(self, where, status=200):
        """Everything that has to hold for the page that is open."""
        self.looks += 1
        dialog = self.browser.dialog()
        if dialog is not None:
            return self.say(where, f"a script opened a dialog: {dialog}")
        for what in self.browser.run(self.inspect):
            self.say(where, what)
        self.network(where, status)
        for entry in self.browser.log("browser"):
            expected = status >= 400 and f"status of {status}" in entry["message"]
            if not expected:
                self.say(where, f"console: {entry['message']}")

    def network(self, where, status):
        size = 0
        documents = []
        for event in self.browser.network():
            parameters = event["params"]
            if event["method"] == "Network.requestWillBeSent":
                url = parameters["request"]["url"]
                inside = url.startswith((self.server.address + "/", "data:"))
                if not inside:
                    self.say(where, f"asks elsewhere: {url}")
            elif event["method"] == "Network.responseReceived":
                response = parameters["response"]
                if parameters["type"] == "Document":
                    documents.append(response["status"])
                elif response["status"] >= 400:
                    self.say(where, f"{response['status']}: {response['url']}")
            elif event["method"] == "Network.loadingFailed":
                self.say(where, f"failed: {parameters}")
            elif event["method"] == "Network.loadingFinished":
                size += parameters["encodedDataLength"]
        if documents:
            self.expect(f"{where}: status", documents[-1], status)
        if size >= PAGE_LIMIT:
            self.say(where, f"{size} bytes with everything, at most {PAGE_LIMIT}")

    def everywhere(self, name, show, status=200):
        """A page on every device. `show` brings it up."""
        for width, height in [(360, 740), (1280, 800)]:
            for scheme in ["light", "dark"]:
                where = f"{name}, {width} px, {scheme}"
                self.browser.as_device(width, height, scheme)
                self.browser.devtools("Network.clearBrowserCache")
                self.browser.network()
                show()
                self.page(where, status)
                self.browser.picture(os.path.join(self.pictures, f"{name}-{width}-{scheme}.png"))
        # 200 % on the phone, 400 % on the desktop (WCAG 1.4.10).
        for width, scale in [(180, 2), (320, 4)]:
            self.browser.as_device(width, 600, scale=scale)
            wide = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
            needed, there = self.browser.run(wide)
            if needed > there:
                self.say(f"{name}, zoomed to {width} px", f"{needed} px wide")
        self.browser.as_device(794, 1123, media="print")
        for what in self.browser.run(self.inspect):
            if what.startswith(("contrast", "wider", "no text")):
                self.say(f"{name}, printed", what)
        self.browser.picture(os.path.join(self.pictures, f"{name}-print.png"))
        self.browser.as_device(360, 740)
        self.focus(name)

    def focus(self, name):
        """Whoever goes through the page by keyboard sees where he is."""
        count = "return document.querySelectorAll('a, button, input, [tabindex]').length"
        self.browser.run("document.activeElement.blur()")
        reached = 0
        for _ in range(self.browser.run(count)):
            self.browser.press(TAB)
            style = self.browser.run(
                "const e = document.activeElement, s = getComputedStyle(e);"
                "return e === document.body ? null : [e.outerHTML.slice(0, 60), s.outlineStyle, parseFloat(s.outlineWidth)]"
            )
            if style is None:
                continue
            reached += 1
            if style[1] == "none" or style[2] < 2:
                self.say(name, f"focus cannot be seen: {style}")
        if reached == 0:
            self.say(name, "nothing to be reached by keyboard")

    def download(self, where, name, content=CONTENT):
        """Presses the button; the file comes, and the page stays."""
        page = self.browser.address()
        self.browser.click("a.button")
        self.expect(f"{where}: downloaded", self.browser.downloaded(), (name, content))
        self.expect(f"{where}: address", self.browser.address(), page)
        # To a page, its own download is a broken navigation.
        self.browser.network()


def files(check):
    """Pages of files, and the files."""
    browser, server = check.browser, check.server
    for name, file, fields in [
        ("download", "Quarterly report 2026.pdf", {"allowedDownloads": 2}),
        ("download-last", "photo.jpg", {"allowedDownloads": 1}),
        ("download-free", "notes.txt", {"expiryDays": 0}),
        ("download-long", LONG, {"allowedDownloads": 5}),
        ("download-rtl", "דוח שנתי 2026 — النسخة.pdf", {"allowedDownloads": 5}),
    ]:
        url = server.upload(file, **fields)["UrlDownload"]
        check.everywhere(name, lambda url=url: browser.open(url))
        check.expect(f"{name}: name", browser.run("return document.querySelector('h1').textContent"), file)
        check.download(name, file)
        if fields.get("allowedDownloads") == 1:
            browser.open(url)
            check.page(f"{name}: afterwards", 404)


def passwords(check):
    """A password: wrong, then right, by keyboard, and the file."""
    browser, server = check.browser, check.server
    url = server.upload("secret plan.txt", password="open sesame & <co>")["UrlDownload"]
    check.everywhere("password", lambda: browser.open(url))
    if "secret" in browser.run("return document.documentElement.outerHTML"):
        check.say("password", "tells the name")

    def wrong():
        browser.open(url)
        browser.type("#password", "not this")
        browser.click("button")
        browser.find("[role=alert]")

    check.everywhere("password-wrong", wrong, 403)
    told = "return document.querySelector('[role=alert]').textContent + document.querySelector('#password').getAttribute('aria-describedby')"
    check.expect("password-wrong: told", browser.run(told), "That is not the password.wrong")

    browser.type("#password", "open sesame & <co>")
    browser.press(ENTER)
    browser.find("a.button")
    check.page("password: opened")
    check.expect("password: address", browser.address(), url)
    check.download("password", "secret plan.txt")


def messages(check):
    """Pages that say that there is nothing, or not now."""
    browser, server = check.browser, check.server
    check.everywhere("index", lambda: browser.open(server.address + "/"))
    check.everywhere("not-found", lambda: browser.open(server.address + "/d?id=nothing"), 404)

    def guess():
        # One guess a second is free: on a slow machine the browser may be the one to have it.
        for _ in range(20):
            while server.ask("GET", "/d?id=guessed")[0] != 429:
                pass
            browser.network()
            browser.log("browser")
            browser.open(server.address + "/d?id=guessed")
            if "Not found" not in browser.run("return document.title"):
                break

    check.everywhere("wait", guess, 429)


def hostile(check):
    """Names that would like to be more than names, on the page and as a file that opens itself."""
    browser, server = check.browser, check.server
    body = b"<!doctype html><script>pwned=1;alert(1)</script><svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
    count = "return document.querySelectorAll('*').length"
    browser.open(server.upload("harmless.txt")["UrlDownload"])
    wanted = browser.run(count)
    browser.network()
    kinds = ["text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", "application/pdf"]
    for number, name in enumerate(HOSTILE):
        where = f"hostile name {number}"
        info = server.upload(name, kinds[number % len(kinds)], body)
        if info is None:
            continue
        browser.open(info["UrlDownload"])
        check.page(where)
        check.expect(f"{where}: elements", browser.run(count), wanted)
        name = browser.run("return document.querySelector('h1').textContent")
        if any(ord(c) < 32 or "\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069" for c in name):
            check.say(where, f"shows {name!r}")
        # Opened by itself, it is saved and not shown, whatever it says that it is.
        page = browser.address()
        for target in [info["UrlHotlink"], info["hotlinkUrl"]]:
            browser.run("location.href = arguments[0]", target)
            check.expect(f"{where}: as it was sent", browser.downloaded()[1], body)
            check.expect(f"{where}: stays", browser.address(), page)
            check.expect(f"{where}: dialog", browser.dialog(), None)
        browser.network()
        browser.log("browser")


def main():
    address, key, pictures = sys.argv[1:4]
    os.makedirs(pictures, exist_ok=True)
    server = Server(address, key)
    browser = Browser()
    try:
        check = Check(browser, server, pictures)
        if len(sys.argv) > 4:
            browser.open(address + "/")
            check.expect("name", browser.run("return document.querySelector('header').innerText.trim()"), sys.argv[4])
            browser.network()
        files(check)
        passwords(check)
        hostile(check)
        messages(check)
    finally:
        browser.close()
    for line in check.wrong:
        print(line)
    print(f"{check.looks} pages looked at, {len(check.wrong)} things wrong")
    sys.exit(1 if check.wrong or check.looks < 50 else 0)


if __name__ == "__main__":
    main()
