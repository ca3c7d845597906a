"""Checks a built site: pages load nothing from elsewhere, and no link is broken."""

import html.parser
import sys
import urllib.parse
from pathlib import Path

LOADING = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src")}


class Page(html.parser.HTMLParser):
    """Collects what a page loads, links to and names."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.ids = set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Collects one element."""
        found = dict(attrs)
        for name, url in attrs:
            if (tag, name) in LOADING and found.get("rel") != "canonical":
                self.loads.add(url)
        if tag == "a" and "href" in found:
            self.links.add(found["href"])
        if "id" in found:
            self.ids.add(found["id"])


def main(folder):
    """Returns what is wrong, a sentence each."""
    pages = {p.resolve(): Page(p.read_text()) for p in Path(folder).rglob("*.html")}
    wrong = []
    for path, page in pages.items():
        name = path.relative_to(Path(folder).resolve())
        for url in page.loads:
            if urllib.parse.urlparse(url).netloc:
                wrong.append(f"{name} loads {url} from elsewhere.")
        for url in page.links | page.loads:
            parts = urllib.parse.urlparse(url)
            if parts.scheme or parts.netloc:
                continue
            target = path
            if parts.path:
                target = (path.parent / urllib.parse.unquote(parts.path)).resolve()
            anchor = urllib.parse.unquote(parts.fragment)
            if not target.exists():
                wrong.append(f"{name} links to {url}, which does not exist.")
            elif anchor and target in pages and anchor not in pages[target].ids:
                wrong.append(f"{name} links to {url}, which has no such place.")
    print("\n".join(wrong) or f"{len(pages)} pages: all assets local, all links hold.")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) > 0)
