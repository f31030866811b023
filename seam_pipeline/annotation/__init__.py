"""People choose the better of two answers, blind: pairs, the page, what they chose, and how far they agree."""
