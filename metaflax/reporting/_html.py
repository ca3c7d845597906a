"""Self-contained HTML pages of tables and figures.

All values are escaped here and nowhere else: functions take plain values and return
`Html`, from which pages are made.
"""

import base64
import html
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NewType

Html = NewType("Html", str)

# No external script, font or style: a page is one file that can be sent by mail.
_PAGE = string.Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
:root { color-scheme: light; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 62rem; color: #222;
  background: #fff; font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto,
  "Liberation Sans", sans-serif; }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 2.4rem 0 .6rem; padding-top: .9rem; border-top: 1px solid #ddd;
  font-size: 1.2rem; }
p { margin: .4rem 0 .8rem; max-width: 46rem; color: #444; }
.subtitle { margin-top: .3rem; font-size: 1.05rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .6rem 0 1rem; font-size: .93rem;
  font-variant-numeric: tabular-nums; }
caption { padding-bottom: .3rem; text-align: left; white-space: nowrap; color: #444; }
th, td { padding: .28rem .8rem; border-bottom: 1px solid #e6e6e6; text-align: right;
  white-space: nowrap; }
thead th { border-bottom: 1.5px solid #888; font-weight: 600; }
th:first-child, td:first-child { padding-left: 0; text-align: left; }
td:first-child, td.long { white-space: normal; overflow-wrap: anywhere; }
td.long { text-align: left; }
tbody th { font-weight: 400; vertical-align: top; }
td.cell { min-width: 2rem; padding: .28rem .5rem; text-align: center; }
table.matrix thead th { height: 7rem; padding: .3rem .2rem; vertical-align: bottom;
  font-weight: 400; }
table.matrix thead th:first-child { vertical-align: bottom; padding-right: .8rem; }
table.matrix thead span { writing-mode: vertical-rl; transform: rotate(180deg); }
img { display: block; max-width: 100%; height: auto; margin: .4rem 0 1rem; }
details { margin: .6rem 0; } summary { cursor: pointer; color: #1f5c99; }
code { font: .88em ui-monospace, "Liberation Mono", Menlo, monospace;
  overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>$title</h1>
<p class="subtitle">$subtitle</p>
$body
</body>
</html>
""")


def page(title: str, subtitle: str, sections: Iterable[Html]) -> str:
    """Makes a complete page.

    Args:
      title: title of the page.
      subtitle: a sentence below the title.
      sections: content of the page.

    Returns:
      HTML that loads no other file.

    Examples:
      >>> made = page("A <b> run", "one fold", [paragraph("accuracy & loss")])
      >>> "<h1>A &lt;b&gt; run</h1>" in made, "<p>accuracy &amp; loss</p>" in made
      (True, True)
    """
    return _PAGE.substitute(
        title=escaped(title), subtitle=escaped(subtitle), body="\n".join(sections)
    )


def escaped(value: Any) -> Html:
    """Escapes a value for HTML.

    Examples:
      >>> escaped("<script>")
      '&lt;script&gt;'
    """
    return Html(html.escape(str(value)))


def section(title: str, *parts: Html) -> Html:
    r"""Makes a section with a heading.

    Examples:
      >>> section("Scores", paragraph("of 600 episodes"))
      '<section>\n<h2>Scores</h2>\n<p>of 600 episodes</p>\n</section>'
    """
    body = "\n".join(parts)
    return Html(f"<section>\n<h2>{escaped(title)}</h2>\n{body}\n</section>")


def paragraph(text: str) -> Html:
    """Makes a paragraph of plain text.

    Examples:
      >>> paragraph("a < b")
      '<p>a &lt; b</p>'
    """
    return Html(f"<p>{escaped(text)}</p>")


def folded(summary: str, *parts: Html) -> Html:
    r"""Makes a block that is collapsed until its summary is clicked.

    Examples:
      >>> folded("more", paragraph("text"))
      '<details><summary>more</summary>\n<p>text</p>\n</details>'
    """
    body = "\n".join(parts)
    return Html(f"<details><summary>{escaped(summary)}</summary>\n{body}\n</details>")


def html_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = ""
) -> Html:
    """Makes a table whose first column names the rows.

    Args:
      columns: headings of the columns.
      rows: values of each row.
      caption: text above the table.

    Examples:
      >>> made = html_table(["", "accuracy"], [["frozen", "94.3 %"]])
      >>> '<tr><td>frozen</td><td>94.3 %</td></tr>' in made
      True
    """
    head = "".join(f'<th scope="col">{escaped(name)}</th>' for name in columns)
    body = "\n".join(
        f"<tr>{''.join(f'<td>{escaped(value)}</td>' for value in row)}</tr>"
        for row in rows
    )
    above = f"<caption>{escaped(caption)}</caption>" if caption else ""
    return Html(
        f'<div class="wide"><table>{above}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def pairs_table(pairs: Mapping[str, Any]) -> Html:
    """Makes a table of names and values; long values are wrapped.

    Examples:
      >>> '<td class="long"><code>1 &lt; 2</code></td>' in pairs_table({"x": "1 < 2"})
      True
    """
    rows = "\n".join(
        f'<tr><th scope="row">{escaped(name)}</th>'
        f'<td class="long"><code>{escaped(value)}</code></td></tr>'
        for name, value in pairs.items()
    )
    return Html(f"<table><tbody>\n{rows}\n</tbody></table>")


def matrix_table(
    names: Sequence[str], counts: Sequence[Sequence[int]], corner: str
) -> Html:
    """Makes a confusion matrix whose cells are shaded by their share of the row.

    Args:
      names: names of both rows and columns.
      counts: counts by row and column.
      corner: heading of the first column.

    Examples:
      >>> made = matrix_table(["a", "b"], [[3, 1], [0, 4]], "true, predicted")
      >>> made.count("rgba(31,119,180,0.75)"), made.count("<td class=")
      (1, 4)
    """
    head = "".join(
        f'<th scope="col"><span>{escaped(name)}</span></th>' for name in names
    )
    rows = []
    for name, row in zip(names, counts, strict=True):
        total = max(sum(row), 1)
        cells = "".join(
            f'<td class="cell" style="background:rgba(31,119,180,{n / total:.2f});'
            f'color:{"#fff" if n / total > 0.6 else "#222"}">{int(n) or "·"}</td>'
            for n in row
        )
        rows.append(f"<tr><td>{escaped(name)}</td>{cells}</tr>")
    body = "\n".join(rows)
    return Html(
        f'<div class="wide"><table class="matrix"><thead><tr><th>{escaped(corner)}</th>'
        f"{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def picture(svg: bytes, description: str) -> Html:
    """Embeds a figure in the page.

    Args:
      svg: the figure, as SVG.
      description: alternative text.

    Examples:
      >>> picture(b"<svg/>", "a curve")
      '<img alt="a curve" src="data:image/svg+xml;base64,PHN2Zy8+">'
    """
    coded = base64.b64encode(svg).decode("ascii")
    source = f"data:image/svg+xml;base64,{coded}"
    return Html(f'<img alt="{escaped(description)}" src="{source}">')
