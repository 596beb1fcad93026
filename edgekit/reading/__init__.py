"""Reading files from outside: sizes, depths and numbers are checked before memory or time is spent on them.

Everything here raises OSError where a file cannot be read, and ValueError (mostly `RefusedError`) where its content
cannot be used; who calls says what the file should have been, as one of `edgekit.errors`.
"""

from edgekit.reading.files import exists, in_utf8, is_file, is_folder, read_bytes, read_text, regular_size
from edgekit.reading.limits import RefusedError
from edgekit.reading.structured import load_json, load_toml, read_json, read_toml

__all__ = [
    "RefusedError",
    "exists",
    "in_utf8",
    "is_file",
    "is_folder",
    "load_json",
    "load_toml",
    "read_bytes",
    "read_json",
    "read_text",
    "read_toml",
    "regular_size",
]
