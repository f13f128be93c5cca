"""Opens CSV files, which may be compressed by gzip or zip."""

import gzip
import io
import lzma
import shlex
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from schemas.errors import RecordsError, UsageError

_HIDDEN = "__MACOSX/"  # macOS keeps attributes of files there
_TEXT_ENDINGS = (".csv", ".tsv", ".txt")
_UNREADABLE = (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a CSV file, decompressed.

    Raises:
        OSError: If there is no such file.
        UsageError: If it is an archive of several files or of another kind of file, or has a password.
        RecordsError: If it is damaged, or compressed by a method that Python lacks.
    """
    ending = path.suffix.lower()
    try:
        if ending == ".zip":
            with zipfile.ZipFile(path) as archive, archive.open(_only_member(path, archive)) as member:
                yield cast("BinaryIO", member)
        elif ending == ".gz":
            with gzip.open(path) as stream:
                yield cast("BinaryIO", stream)
        else:
            with path.open("rb") as file:
                yield file
    except _UNREADABLE as exc:
        msg = f"{path} is not a valid {ending} file: {exc}. Compress it again, or import the file that is in it."
        raise RecordsError(msg) from exc


@contextmanager
def open_text(path: Path) -> Iterator[io.TextIOWrapper]:
    """Open a CSV file in UTF-8, decompressed, with its line breaks as they are."""
    with open_bytes(path) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        yield text


def conversion_command(path: Path, encoding: str) -> str:
    """Return the command that converts a file, which may be compressed, to UTF-8."""
    file, unpack = shlex.quote(str(path)), {".gz": "gzip -dc", ".zip": "unzip -p"}.get(path.suffix.lower())
    convert_to_utf8 = f"iconv -f {encoding} -t utf-8"
    return f"{unpack} {file} | {convert_to_utf8}" if unpack else f"{convert_to_utf8} {file}"


def _only_member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [each for each in archive.infolist() if not each.is_dir() and not each.filename.startswith(_HIDDEN)]
    if len(members) != 1:
        names = ", ".join(member.filename for member in members[:5]) or "none"
        msg = f"{path} holds {len(members)} files, expected one: {names}. Extract it, and import each file by itself."
        raise UsageError(msg)
    member = members[0]
    if member.flag_bits & 1:
        msg = f"{path} has a password. Extract it, and import the file that is in it."
        raise UsageError(msg)
    if not member.filename.lower().endswith(_TEXT_ENDINGS):
        msg = f"{path} holds {member.filename}, expected a file that ends in {', '.join(_TEXT_ENDINGS)}. "
        raise UsageError(f"{msg}Extract it, and import the file that is in it.")
    return member
