"""What can be wrong with a file, or with a model.

::

    ValueError
      FormatError                  the file is none of format version 1, or damaged: nothing of it is to be used
        InvalidMmStatsVersion      its first byte is not 1, or there is none: nobody has finished writing it
      DuplicateFieldName           two fields of a model would have the same label

A file that cannot be opened or read is the OSError that it was.
"""

from __future__ import annotations


class FormatError(ValueError):
    """One line: what is wrong, where in the file, and, when it was read by its path, in which."""


class InvalidMmStatsVersion(FormatError):
    """The first byte is not 1: a file of another format, or one whose writer has not come to it yet."""


class DuplicateFieldName(ValueError):
    """Two fields of a model would have the same label, so that no reader could tell them apart."""
