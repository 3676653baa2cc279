"""Text that a page, a table or a terminal can show, whatever a folder or a study is called."""

import re

UNSHOWN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text with its control characters as escapes such as `\x1b`; tabs and ends of lines stay.

    Those that turn the direction of writing become escapes too, for behind them a name can look like another one.

    Python reads a byte of a file's name that is no text as a half of a character, which nothing can encode. Such halves
    become escapes too: `\udce9`.
    """
    return UNSHOWN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    r"""The same where a line is to stay one: tabs and ends of lines become escapes too, such as `\n`."""
    return printable(text).replace("\t", "\\t").replace("\n", "\\n")
