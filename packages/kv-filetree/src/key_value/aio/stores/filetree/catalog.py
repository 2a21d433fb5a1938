"""The directories of collections, `{data}/{name}`, and their metadata, `{metadata}/{name}-info.json`."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from key_value.aio.core import clock
from key_value.aio.core.codec import load_object
from key_value.aio.core.directories import make_directories
from key_value.aio.errors import DeserializationError, KeyValueStoreError, StoreSetupError
from key_value.aio.stores.filetree.directory import Directory
from key_value.aio.stores.filetree.names import INFO_SUFFIX

__all__ = ["Catalog"]


class Catalog:
    """Creates, finds and removes collections, by their stored names."""

    def __init__(self, data: Path, metadata: Path, *, auto_create: bool, fsync: bool) -> None:
        self.data = data
        self.auto_create = auto_create
        self._metadata = metadata
        self._prefix = f"{data}{os.sep}"
        self._fsync = fsync

    def create_roots(self) -> None:
        """Create missing data and metadata directories if allowed. Raises StoreSetupError if one is still missing."""
        for path in dict.fromkeys((self.data, self._metadata)):
            if self.auto_create and not path.is_symlink() and not path.exists():
                make_directories(path, fsync=self._fsync)
            # Checked last, because another process may have created it meanwhile.
            if path.is_dir():
                continue
            if path.exists() or path.is_symlink():
                message = f"{path} is not a directory; FileTreeStore needs one there"
            else:
                message = f"the directory {path} does not exist; create it, or pass auto_create=True"
            raise StoreSetupError(message)

    def roots(self) -> list[Path]:
        """Return the distinct data and metadata directories. These may be links; links inside them are rejected."""
        return [root for root in dict.fromkeys((self.data.resolve(), self._metadata.resolve())) if root.is_dir()]

    def names(self) -> Iterator[str]:
        data, metadata = self.data.resolve(), self._metadata.resolve()
        if data.is_dir():
            with Directory(str(data)) as root:
                for name in root.directories():
                    if data / name != metadata:
                        yield name

    def open(self, name: str) -> Directory | None:
        """Open the directory of a collection; None if it does not exist."""
        try:
            return Directory(self._prefix + name)
        except FileNotFoundError:
            if not (self.auto_create or self.data.is_dir()):
                raise
            return None

    def open_or_create(self, name: str, collection: str) -> Directory:
        """Open the directory of a collection, after creating it if missing and allowed."""
        directory = self.open(name)
        if directory is None:
            path = self.data / name
            if not self.auto_create:
                message = f"the directory {path} does not exist; create it, or pass auto_create=True"
                raise StoreSetupError(message)
            make_directories(self.data, fsync=self._fsync)
            # The lock keeps others from removing the info file while the directory is created.
            with Directory(str(self.data.resolve())) as root, root.locked():
                # Written first, so that after an interruption every directory has its info file.
                self._write_info(name, collection)
                make_directories(path, fsync=self._fsync)
            directory = Directory(str(path))
        return directory

    def files(self, name: str) -> Iterator[tuple[Directory, str]]:
        directory = self.open(name)
        if directory is not None:
            with directory:
                for file in directory.files():
                    yield directory, file

    def remove(self, name: str) -> None:
        """Remove the directory of a collection and its info file, unless the directory is not empty."""
        with Directory(str(self.data.resolve())) as root, root.locked():
            try:
                (self.data / name).rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                return
            if self.collection_in_info(name) is not None:
                with Directory(str(self._metadata.resolve())) as directory:
                    directory.remove(name + INFO_SUFFIX)

    def orphans(self) -> Iterator[str]:
        """Yield collections with only an info file left, as after an interrupted removal."""
        data, metadata = self.data.resolve(), self._metadata.resolve()
        if not (data.is_dir() and metadata.is_dir()):
            return
        with Directory(str(metadata)) as directory:
            for file in directory.files():
                name = file.removesuffix(INFO_SUFFIX)
                if name == file or (data / name).exists() or self.collection_in_info(name) is None:
                    continue
                # Other trees may share the metadata directory.
                if data == metadata or self._read_info(name).get("directory") == str(data / name):
                    yield name

    def collection_in_info(self, name: str) -> str | None:
        """Return the collection name in the info file; None if there is no valid info file."""
        info = self._read_info(name)
        collection = info.get("collection")
        return collection if isinstance(collection, str) and "directory" in info and "version" in info else None

    def _read_info(self, name: str) -> dict[str, object]:
        try:
            with Directory(str(self._metadata.resolve())) as directory:
                file = directory.read(name + INFO_SUFFIX)
            return {} if file is None else load_object(file.content)
        except (FileNotFoundError, DeserializationError, KeyValueStoreError):
            return {}  # missing, or not written by a store

    def _write_info(self, name: str, collection: str) -> None:
        make_directories(self._metadata, fsync=self._fsync)
        with Directory(str(self._metadata.resolve())) as directory:
            if directory.status(name + INFO_SUFFIX) is not None:
                return
            info = {
                "collection": collection,
                "created_at": clock.now().isoformat(),
                # Required by py-key-value-aio. Not relied on here, because trees can be moved.
                "directory": str(self.data.resolve() / name),
                "version": 1,
            }
            content = json.dumps(info).encode()
            # If data and metadata are the same directory, its lock is already held.
            directory.write_if(name + INFO_SUFFIX, content, None, fsync=self._fsync)
            if self._fsync:
                directory.sync()
