"""Mistakes that the person at the terminal can mend: one clear message each, no traceback."""


class UserError(Exception):
    """What is wrong and what to do about it, in words for the person at the terminal."""


class PartFailed(UserError):
    """A part of the house did not start; the text ends with the last lines of its log."""


class InUse(UserError):
    """Another process already works in this folder."""
