"""Rows of bytes in a file: read from memory-mapped pages, written at their place, each with a checksum of its own."""

import errno
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtkd_rl.errors import MTKDError

HEAD = 8
"""Bytes of a row before what is stored: its checksum and the tag that it was stored under."""


class Store:
    """A file of equal rows, of which any may be missing.

    A row holds a CRC-32 over tag and content, so that one that was never written, was cut short by a kill or a full
    disk, or was written by two processes at once is missing, and nothing else is. Processes on one machine may read and
    write the same file at any time. A file takes the room of what was written, not of what there could be.

    Args:
        folder: Where ``rows.bin`` and ``key.json`` are; made if they are not.
        key: What the rows are of, plain values; a folder with another key is refused.
        rows: How many there can be; a file that has room for more stays as it is.
        size: Bytes of what a row stores.

    Raises:
        MTKDError: The folder is of another key, or cannot be written.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any], rows: int, size: int) -> None:
        self.path = folder / 'rows.bin'
        self.rows, self.size = rows, size
        wanted = json.dumps({**key, 'size': size}, sort_keys=True, indent=1)
        described = folder / 'key.json'
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not described.is_file():
                draft = folder / f'key.json.{os.getpid()}'
                draft.write_text(wanted)
                draft.replace(described)
            if described.read_text() != wanted:
                raise MTKDError(f'cache: {folder} is of something else; give another folder, or delete it')
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            whole = rows * (HEAD + size)
            if os.fstat(self._file).st_size < whole:
                os.truncate(self._file, whole)
        except OSError as error:
            raise MTKDError(f'cache: {folder}: {error.strerror}; give another folder, or make room') from None
        self._map = np.memmap(self.path, np.uint8, 'r', shape=(rows, HEAD + size))

    def read(self, rows: Sequence[int], tags: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Reads rows.

        Args:
            rows: Their numbers.
            tags: What each was stored under, in 0..2^32 - 1.

        Returns:
            Contents uint8 ``(R, size)``, and which of them are there, bool ``(R,)``.
        """
        found = self._map[list(rows)]
        head = found[:, :HEAD].copy().view(np.uint32)
        known = [
            head[i, 0] == _checksum(tag, found[i, HEAD:]) and head[i, 1] == np.uint32(tag) for i, tag in enumerate(tags)
        ]
        return found[:, HEAD:], np.array(known, dtype=bool)

    def write(self, rows: Sequence[int], tags: Sequence[int], contents: np.ndarray) -> None:
        """Writes rows, each at once.

        Args:
            rows: Their numbers.
            tags: As for ``read``.
            contents: uint8 ``(R, size)``.

        Raises:
            MTKDError: The disk is full, or cannot be written; rows that were there before stay.
        """
        for row, tag, content in zip(rows, tags, contents):
            head = np.array([_checksum(tag, content), tag], dtype=np.uint32).tobytes()
            try:
                os.pwrite(self._file, head + content.tobytes(), row * (HEAD + self.size))
            except OSError as error:
                full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                raise MTKDError(
                    f'cache: {self.path}: {"the disk is full" if full else error.strerror}; make room, or give a '
                    'smaller budget'
                ) from None

    def close(self) -> None:
        """Lets go of the file; what was written stays."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _checksum(tag: int, content: np.ndarray) -> int:
    # of a row of zeros in a file that was never written there it is not 0
    return zlib.crc32(content.tobytes(), zlib.crc32(tag.to_bytes(4, 'little')) ^ 0x5EED) & 0xFFFFFFFF
