"""A page as its parser and a reader's browser see it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

HOSTILE = "<script>alert(1)</script>\"'&$x$"
VOID = {"meta", "link", "source", "img", "br"}


class Page(HTMLParser):
    """Elements, ids and text; fails on a tag that is closed out of order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def look(browser, path: Path, width: int, scheme: str) -> SimpleNamespace:
    """What a reader's browser makes of the page at a width."""
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page, messages, requests = context.new_page(), [], []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth).length"
    seen = SimpleNamespace(
        messages=messages,
        outside=[url for url in requests if not url.startswith(("file:", "data:"))],
        overflow=page.evaluate("document.documentElement.scrollWidth") - width,
        broken_images=page.evaluate(broken),
        narrow_images=page.evaluate(
            "[...document.images].filter(i => i.currentSrc !== i.src).length"
        ),
        title=page.title(),
    )
    context.close()
    return seen
