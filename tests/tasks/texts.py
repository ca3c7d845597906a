"""Random text of every kind, with entities in it."""

from hypothesis import strategies as st

from metaflax.tasks._entity_spans import Entity

# Combining marks, joiners, emoji of several characters, right to left, scripts without
# spaces, white space of every width, line ends of every kind, controls.
PARTS = (
    *("a", "Zq", "7", "é", "e\u0301", "\u0301", "İ", "ß", "ﬁ", "Ǆ", "١", "½"),
    *("👩\u200d👩\u200d👧", "❤\ufe0f", "🇨🇭", "👍🏽", "1\ufe0f\u20e3", "𝒳"),
    *(
        "שלום",
        "مرحبا",
        "\u200f",
        "می\u200cخواهم",
        "हिन्दी",
        "ไทย",
        "東京",
        "とう",
        "한국",
    ),
    *(" ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u2028", "\x1c", "\x85"),
    *("\u200b", "\ufeff", "\u00ad", "\x00", "\x07", "\ufffd", "_", ".", "'", "-", "##"),
)
CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXTS = st.lists(st.one_of(st.sampled_from(PARTS), CHARACTERS), max_size=30).map(
    "".join
)
TYPES = ("art", "city", "river")


@st.composite
def entities_in(draw, words):
    """Entities of whole words, apart from each other, some of them touching."""
    entities, place = [], 0
    while place < len(words):
        length = draw(st.integers(0, 3))
        end = min(place + length, len(words))
        if length and draw(st.booleans()):
            span = words[place][0], words[end - 1][1]
            entities.append(Entity(*span, draw(st.sampled_from(TYPES))))
        place = max(end, place + 1)
    return tuple(entities)
