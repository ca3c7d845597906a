"""Topics of financial news by keywords, with the keywords removed.

A sentence has a topic if terms of that topic alone occur in it. The terms are removed,
so that a model has to infer the topic from the rest of the sentence.
"""

import re

import numpy as np

from metaflax import data

TERMS = {
    "acquisitions": r"acqui(re[sd]?|ring|sitions?)|merge[rsd]*|takeover|divest\w*"
    r"|bought|to buy|purchas\w+",
    "earnings": r"(operating|net|pre-?tax) (profit|loss|sales|result)|profits?"
    r"|earnings|eps|net income|turnover",
    "layoffs": r"lay-?offs?|lay off|laid off|redundan\w+|job cuts|negotiations"
    r"|dismiss\w*|staff|personnel|employees",
    "orders": r"orders?|contract(s|ed)?|deliver(y|ies|ed|s)?|supply",
    "people": r"appoint\w*|ceo|board of directors|chairman|chief executive"
    r"|managing director",
    "products": r"launch\w*|new products?|unveil\w*|introduc\w+|solutions?|software"
    r"|technolog\w+",
    "property": r"shopping cent\w+|real estate|offices?|propert\w+|square met\w+"
    r"|construction|buildings?|plants?|factor(y|ies)|mill",
    "shares": r"shares? (rose|fell|closed|price|capital|slid)|stock exchange|omx|stock"
    r"|dividends?|subscri\w+|voting rights",
}
PATTERNS = {
    topic: re.compile(rf"\b(?:{terms})\b", re.IGNORECASE)
    for topic, terms in TERMS.items()
}


def by_terms(examples: data.Examples) -> data.Examples:
    """Labels the sentences of exactly one topic with it, and removes its terms.

    Examples:
      >>> news = data.Examples("news", ("Its net profit grew .",), (("positive",),))
      >>> labelled = by_terms(news)
      >>> labelled.texts, labelled.labels
      (('Its … grew .',), (('earnings',),))
    """
    results = [
        (number, topic)
        for number, text in enumerate(examples.texts)
        if (topic := topic_of(str(text)))
    ]
    texts = tuple(
        PATTERNS[topic].sub("…", str(examples.texts[number]))
        for number, topic in results
    )
    kept = _first(texts)
    return data.Examples(
        f"topics of {examples.name}",
        tuple(texts[row] for row in kept),
        tuple((results[row][1],) for row in kept),
    )


def topic_of(text: str) -> str | None:
    """Returns the topic whose terms occur in a text; None for none, or several."""
    results = [topic for topic, pattern in PATTERNS.items() if pattern.search(text)]
    return results[0] if len(results) == 1 else None


def _first(texts: tuple[str, ...]) -> np.ndarray:
    """First row of each distinct text; without their terms some texts are equal."""
    return np.sort(np.unique(np.array(texts), return_index=True)[1])
