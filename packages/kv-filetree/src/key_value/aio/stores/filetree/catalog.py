"""The directories of collections: `{data}/{name}`, and the information about them: `{metadata}/{name}-info.json`."""

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

    def make_roots(self) -> None:
        """Create the missing directories of data and metadata, if that is allowed. Raises StoreSetupError."""
        for path in dict.fromkeys((self.data, self._metadata)):
            if self.auto_create and not path.is_symlink() and not path.exists():
                make_directories(path, fsync=self._fsync)
            # Asked last, for another may have made it meanwhile.
            if path.is_dir():
                continue
            if path.exists() or path.is_symlink():
                message = f"{path} is not a directory, which FileTreeStore needs there"
            else:
                message = f"the directory {path} does not exist; make it, or leave auto_create on"
            raise StoreSetupError(message)

    def roots(self) -> list[Path]:
        """The directories of data and metadata, once if they are the same. They may be links, unlike their content."""
        return [root for root in dict.fromkeys((self.data.resolve(), self._metadata.resolve())) if root.is_dir()]

    def names(self) -> Iterator[str]:
        data, metadata = self.data.resolve(), self._metadata.resolve()
        if data.is_dir():
            with Directory(str(data)) as root:
                for name in root.directories():
                    if data / name != metadata:
                        yield name

    def opened(self, name: str) -> Directory | None:
        try:
            return Directory(self._prefix + name)
        except FileNotFoundError:
            if not (self.auto_create or self.data.is_dir()):
                raise
            return None

    def made(self, name: str, collection: str) -> Directory:
        directory = self.opened(name)
        if directory is None:
            path = self.data / name
            if not self.auto_create:
                message = f"the directory {path} does not exist; make it, or leave auto_create on"
                raise StoreSetupError(message)
            make_directories(self.data, fsync=self._fsync)
            # So that nobody removes the one while the other is made.
            with Directory(str(self.data.resolve())) as root, root.locked():
                # First, so that a collection with a directory has it however this ends.
                self._write_info(name, collection)
                make_directories(path, fsync=self._fsync)
            directory = Directory(str(path))
        return directory

    def files(self, name: str) -> Iterator[tuple[Directory, str]]:
        directory = self.opened(name)
        if directory is not None:
            with directory:
                for file in directory.files():
                    yield directory, file

    def remove(self, name: str) -> None:
        """Remove the directory of a collection and the information about it, unless they hold something else."""
        with Directory(str(self.data.resolve())) as root, root.locked():
            try:
                (self.data / name).rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                return
            if self.info(name) is not None:
                with Directory(str(self._metadata.resolve())) as directory:
                    directory.remove(name + INFO_SUFFIX)

    def orphans(self) -> Iterator[str]:
        """Collections of which only the information is left, as after an interrupted removal."""
        data, metadata = self.data.resolve(), self._metadata.resolve()
        if not (data.is_dir() and metadata.is_dir()):
            return
        with Directory(str(metadata)) as directory:
            for file in directory.files():
                name = file.removesuffix(INFO_SUFFIX)
                if name == file or (data / name).exists() or self.info(name) is None:
                    continue
                # Other trees may have the same directory of metadata.
                if data == metadata or self._info(name).get("directory") == str(data / name):
                    yield name

    def info(self, name: str) -> str | None:
        """The collection that the information describes; None if there is none, or that of another collection."""
        info = self._info(name)
        collection = info.get("collection")
        return collection if isinstance(collection, str) and "directory" in info and "version" in info else None

    def _info(self, name: str) -> dict[str, object]:
        try:
            with Directory(str(self._metadata.resolve())) as directory:
                file = directory.read(name + INFO_SUFFIX)
            return {} if file is None else load_object(file.content)
        except (FileNotFoundError, DeserializationError, KeyValueStoreError):
            return {}  # none, or not the store's

    def _write_info(self, name: str, collection: str) -> None:
        make_directories(self._metadata, fsync=self._fsync)
        with Directory(str(self._metadata.resolve())) as directory:
            if directory.status(name + INFO_SUFFIX) is not None:
                return
            info = {
                "collection": collection,
                "created_at": clock.now().isoformat(),
                # For py-key-value-aio, which opens it. Trees move: nothing here goes by it alone.
                "directory": str(self.data.resolve() / name),
                "version": 1,
            }
            content = json.dumps(info).encode()
            # Where data and metadata are one directory, its lock is held.
            directory.write_if(name + INFO_SUFFIX, content, None, fsync=self._fsync)
            if self._fsync:
                directory.sync()
