"""Renders mathematics as MathML at build time, so that pages need no script."""

import latex2mathml.converter


def _mathml(latex, display):
    return latex2mathml.converter.convert(latex, display=display)


def _inline(translator, node):
    translator.body.append(_mathml(node.astext(), "inline"))
    raise _skip()


def _block(translator, node):
    body = _mathml(node.astext(), "block")
    translator.body.append(f'<div class="math-block">{body}</div>')
    raise _skip()


def _skip():
    from docutils.nodes import SkipNode

    return SkipNode()


def setup(app):
    """Registers the renderer `mathml`."""
    app.add_html_math_renderer(
        "mathml", inline_renderers=(_inline, None), block_renderers=(_block, None)
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
