"""CompressionWrapper: compressed values."""

import importlib.util
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from key_value.aio.core.codec import EncodedDict, load_object
from key_value.aio.core.numbers import checked_count
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.wrappers import BaseValueWrapper
from key_value.aio.errors import DeserializationError, ValueTooLargeError
from key_value.aio.protocols import AsyncKeyValue

__all__ = ["CompressionWrapper"]

Algorithm = Literal["gzip", "zstd"]

_DATA = "__compressed_data__"
_ALGORITHM = "__compression_algorithm__"
_VERSION_FIELD = "__compression_version__"
_VERSION = 1

_GZIP = 16 + zlib.MAX_WBITS
_MOST_EXPANDED = 512 * 1024 * 1024  # the largest entry of Redis, and more than most stores take

_LEVELS: dict[str, tuple[int, int, int]] = {"gzip": (0, 9, 3), "zstd": (-22, 22, 3)}
"""Algorithm → least, most and usual level."""


class CompressionWrapper(BaseValueWrapper):
    """Compresses values above a size of JSON. Reads plain values, gzip and zstd alike."""

    @warn_types
    def __init__(
        self,
        key_value: AsyncKeyValue,
        min_size_to_compress: int = 1024,
        *,
        algorithm: Algorithm = "gzip",
        level: int | None = None,
        max_expanded_size: int = _MOST_EXPANDED,
    ) -> None:
        """Compress values of at least `min_size_to_compress` bytes of JSON in UTF-8.

        `level` is 0 to 9 for gzip (None: 3) and -22 to 22 for zstd (None: 3), which is faster and needs
        `kv-wrappers[zstd]` before Python 3.14. Nothing is expanded beyond `max_expanded_size` bytes: a put of a larger
        value raises ValueTooLargeError, and reading a larger one, which somebody may have forged, raises
        DeserializationError.

        Raises ValueError for a size below zero, another algorithm and another level, ImportError if zstd is missing.
        """
        if min_size_to_compress < 0:
            message = f"min_size_to_compress must be at least 0 bytes, not {min_size_to_compress}"
            raise ValueError(message)
        if algorithm not in _LEVELS:
            message = f'algorithm must be "gzip" or "zstd", not {algorithm!r}'
            raise ValueError(message)
        least, most, usual = _LEVELS[algorithm]
        if level is not None and not least <= level <= most:
            message = f"level must be from {least} to {most} for {algorithm}, not {level}"
            raise ValueError(message)
        self.min_size_to_compress = min_size_to_compress
        self.max_expanded_size: int = checked_count(max_expanded_size, "max_expanded_size", least=1)
        self._compress = _compressor(algorithm, usual if level is None else level)
        self._algorithm = algorithm
        super().__init__(key_value)

    def _inner_value(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        carried, encoded = EncodedDict.of(value)
        octets = encoded if isinstance(encoded, bytes) else encoded.encode()
        # A value with our own field would be read as a compressed one.
        if len(octets) < self.min_size_to_compress and _DATA not in carried:
            return carried
        if len(octets) > self.max_expanded_size:
            raise ValueTooLargeError(len(octets), self.max_expanded_size)
        data = b64encode(self._compress(octets))
        return EncodedDict(
            {_DATA: data.decode(), _ALGORITHM: self._algorithm, _VERSION_FIELD: _VERSION},
            b'{"%b":"%b","%b":"%b","%b":%d}'
            % (
                *(_DATA.encode(), data),
                *(_ALGORITHM.encode(), self._algorithm.encode()),
                *(_VERSION_FIELD.encode(), _VERSION),
            ),
        )

    def _outer_value(self, inner_value: dict[str, Any]) -> dict[str, Any] | None:
        if _DATA not in inner_value:
            return inner_value
        data, algorithm = inner_value[_DATA], inner_value.get(_ALGORITHM)
        version = inner_value.get(_VERSION_FIELD, _VERSION)
        if type(data) is not str or version != _VERSION or algorithm not in _LEVELS:
            message = "the compressed value is not of a version and algorithm that are known here"
            raise DeserializationError(message)
        decompress = _gunzip if algorithm == "gzip" else _decompressor_of_zstd()
        try:
            octets = decompress(b64decode(data, validate=True), self.max_expanded_size)
        except (ValueError, zlib.error) as exc:
            message = "the compressed value is damaged"
            raise DeserializationError(message) from exc
        if len(octets) > self.max_expanded_size:
            message = f"the compressed value has more than {self.max_expanded_size} bytes"
            raise DeserializationError(message)
        return load_object(octets, "the compressed value")


def _compressor(algorithm: str, level: int) -> Callable[[bytes], bytes]:
    if algorithm == "gzip":
        return partial(_gzip, level)
    zstd = _zstd()
    compress: Callable[..., bytes] = zstd.compress
    parameter = zstd.CompressionParameter
    # Without a checksum a damaged frame can be read as another text.
    options = {parameter.compression_level: level, parameter.checksum_flag: 1}
    return partial(compress, options=options)


def _gzip(level: int, octets: bytes) -> bytes:
    compressor = zlib.compressobj(level, zlib.DEFLATED, _GZIP)
    return compressor.compress(octets) + compressor.flush()


def _gunzip(octets: bytes, most: int) -> bytes:
    """The expanded data, or just over `most` bytes of it."""
    decompressor = zlib.decompressobj(_GZIP)
    text = decompressor.decompress(octets, most + 1)
    if len(text) <= most and (not decompressor.eof or decompressor.unused_data):
        message = "the end is missing, or is not the end"
        raise ValueError(message)
    return text


def _decompressor_of_zstd() -> Callable[[bytes, int], bytes]:
    try:
        zstd = _zstd()
    except ImportError as exc:
        raise DeserializationError(str(exc)) from exc
    error: type[Exception] = zstd.ZstdError

    def decompress(octets: bytes, most: int) -> bytes:
        """Like `_gunzip`."""
        decompressor: Any = zstd.ZstdDecompressor()
        try:
            text: bytes = decompressor.decompress(octets, most + 1)
        except (EOFError, error) as exc:
            raise ValueError(str(exc)) from exc
        if len(text) <= most and (not decompressor.eof or decompressor.unused_data):
            message = "the end is missing, or is not the end"
            raise ValueError(message)
        return text

    return decompress


def _zstd() -> Any:
    if importlib.util.find_spec("compression") is not None:
        return importlib.import_module("compression.zstd")
    if importlib.util.find_spec("backports") is None or importlib.util.find_spec("backports.zstd") is None:
        message = "zstd needs Python 3.14 or an extra package: pip install 'kv-wrappers[zstd]'"
        raise ImportError(message)
    return importlib.import_module("backports.zstd")
