"""Parsing of HTML pages: balanced tags, external resources, text."""

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br"}
LOADS = ("src", "href", "action", "data", "srcset")


class Page(HTMLParser):
    """Parser of a page that checks that tags are balanced."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], "tags that nothing closes"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs), attrs
        self.loaded += [value or "" for name, value in attrs if name in LOADS]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open[-1:] == [tag], f"{tag} closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def check_alone(text: str) -> Page:
    """Parses a page, and checks that it loads no resources and runs no scripts."""
    page = Page(text)
    assert not {"script", "iframe", "object", "embed"} & set(page.tags)
    assert all(source.startswith("data:") for source in page.loaded), page.loaded
    assert "http" not in text
    assert "@import" not in text
    assert "url(" not in text
    return page
