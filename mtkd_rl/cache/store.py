"""Rows of bytes in a file: read from memory-mapped pages, written at their place, each with a checksum of its own."""

import errno
import fcntl
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

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
        folder: Where ``rows.bin`` is; made if it is not.
        rows: How many there can be; a file that has room for more stays as it is.
        size: Bytes of what a row stores.

    Raises:
        MTKDError: The folder cannot be written.
    """

    def __init__(self, folder: Path, rows: int, size: int) -> None:
        self.path = folder / 'rows.bin'
        self.rows, self.size = rows, size
        whole = rows * (HEAD + size)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX)  # or another could make it smaller than it was just made
                if os.fstat(self._file).st_size < whole:
                    os.truncate(self._file, whole)
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        except OSError as error:
            raise MTKDError(f'cache: {folder}: {error.strerror}; give another folder, or make room') from None
        self._map = np.memmap(self.path, np.uint8, 'r', shape=(rows, HEAD + size))

    def read(self, rows: Sequence[int], tags: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reads rows.

        Args:
            rows: Their numbers.
            tags: What each was stored under, in 0..2^32 - 1.

        Returns:
            Contents uint8 ``(R, size)``; which of them are there, bool ``(R,)``; and which are there under another
            tag, bool ``(R,)``.
        """
        found = self._map[list(rows)]
        heads = found[:, :HEAD].copy().view(np.uint32)
        whole = np.array([head[0] == _checksum(int(head[1]), row[HEAD:]) for head, row in zip(heads, found)])
        same = heads[:, 1] == np.array(tags, dtype=np.uint32)
        return found[:, HEAD:], whole & same, whole & ~same

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
