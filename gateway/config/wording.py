"""The form in which texts are compared with a list of words (pure)."""

import unicodedata


def plain(text: str) -> str:
    """A text as the list of words is compared with: one form of each letter, one case, nothing unseen."""
    seen = "".join(one for one in text if unicodedata.category(one) != "Cf")
    folded = unicodedata.normalize("NFKC", seen).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())
