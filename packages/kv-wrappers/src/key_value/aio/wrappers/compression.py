"""CompressionWrapper: compression of values."""

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

_GZIP_WBITS = 16 + zlib.MAX_WBITS
_DEFAULT_MAX_EXPANDED_SIZE = 512 * 1024 * 1024  # bytes: the limit of Redis, and more than most stores accept

_LEVELS: dict[str, tuple[int, int, int]] = {"gzip": (0, 9, 3), "zstd": (-22, 22, 3)}
"""Algorithm → minimum, maximum and default level."""


class CompressionWrapper(BaseValueWrapper):
    """Compresses large values. Reads uncompressed, gzip and zstd values, whatever `algorithm` is."""

    @warn_types
    def __init__(
        self,
        key_value: AsyncKeyValue,
        min_size_to_compress: int = 1024,
        *,
        algorithm: Algorithm = "gzip",
        level: int | None = None,
        max_expanded_size: int = _DEFAULT_MAX_EXPANDED_SIZE,
    ) -> None:
        """Compress values of at least `min_size_to_compress` bytes of JSON in UTF-8.

        `level` is 0 to 9 for gzip (None: 3) and -22 to 22 for zstd (None: 3). zstd is faster, and needs
        `kv-wrappers[zstd]` before Python 3.14. Values are limited to `max_expanded_size` bytes before compression: a
        larger put raises ValueTooLargeError. Reading a larger value, such as a decompression bomb, raises
        DeserializationError.

        Raises ValueError for a negative size, an unknown algorithm or a level out of range, ImportError if zstd is
        missing.
        """
        if min_size_to_compress < 0:
            message = f"min_size_to_compress must be at least 0 bytes, not {min_size_to_compress}"
            raise ValueError(message)
        if algorithm not in _LEVELS:
            message = f'algorithm must be "gzip" or "zstd", not {algorithm!r}'
            raise ValueError(message)
        minimum, maximum, default = _LEVELS[algorithm]
        if level is not None and not minimum <= level <= maximum:
            message = f"level must be from {minimum} to {maximum} for {algorithm}, not {level}"
            raise ValueError(message)
        self.min_size_to_compress = min_size_to_compress
        self.max_expanded_size: int = checked_count(max_expanded_size, "max_expanded_size", least=1)
        self._compress = _compressor(algorithm, default if level is None else level)
        self._algorithm = algorithm
        super().__init__(key_value)

    def _inner_value(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        carried, encoded = EncodedDict.of(value)
        octets = encoded if isinstance(encoded, bytes) else encoded.encode()
        # A small value that itself has the field _DATA must be compressed: it would be read as a compressed value.
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
            message = "the compressed value has an unknown version or algorithm"
            raise DeserializationError(message)
        decompress = _gunzip if algorithm == "gzip" else _zstd_decompress()
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
    # Without a checksum, a damaged frame may decompress to different data.
    options = {parameter.compression_level: level, parameter.checksum_flag: 1}
    return partial(compress, options=options)


def _gzip(level: int, octets: bytes) -> bytes:
    compressor = zlib.compressobj(level, zlib.DEFLATED, _GZIP_WBITS)
    return compressor.compress(octets) + compressor.flush()


def _gunzip(octets: bytes, max_size: int) -> bytes:
    """Return the decompressed data, or its first `max_size + 1` bytes if it is longer."""
    decompressor = zlib.decompressobj(_GZIP_WBITS)
    text = decompressor.decompress(octets, max_size + 1)
    if len(text) <= max_size and (not decompressor.eof or decompressor.unused_data):
        message = "the data is truncated, or other data follows it"
        raise ValueError(message)
    return text


def _zstd_decompress() -> Callable[[bytes, int], bytes]:
    """Return the zstd equivalent of `_gunzip`."""
    try:
        zstd = _zstd()
    except ImportError as exc:
        raise DeserializationError(str(exc)) from exc
    error: type[Exception] = zstd.ZstdError

    def decompress(octets: bytes, max_size: int) -> bytes:
        decompressor: Any = zstd.ZstdDecompressor()
        try:
            text: bytes = decompressor.decompress(octets, max_size + 1)
        except (EOFError, error) as exc:
            raise ValueError(str(exc)) from exc
        if len(text) <= max_size and (not decompressor.eof or decompressor.unused_data):
            message = "the data is truncated, or other data follows it"
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
