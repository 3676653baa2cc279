"""Text that a page, a table or a terminal can show, whatever a folder or a study is called."""

import re

UNSHOWN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text with its control characters as escapes such as `\x1b`; tabs and ends of lines stay.

    Python reads a byte of a file's name that is no text as a half of a character, which nothing can encode. Such halves
    become escapes too: `\udce9`.
    """
    return UNSHOWN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
