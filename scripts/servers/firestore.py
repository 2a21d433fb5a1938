from __future__ import annotations

import http.client
import re
import shutil
import subprocess
from http import HTTPStatus
from pathlib import Path

from servers import ProcessServer, ServerUnavailableError

_JAR = "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"
_MAIN = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"


class FirestoreServer(ProcessServer):
    """Google's emulator of Firestore, with all data in memory. It accepts any credentials and any project.

    `arguments` are added to its command line.
    """

    environment_variable = "KV_TEST_FIRESTORE_URL"
    binary = "java"
    start_timeout = 180

    def __init__(self, *arguments: str, private: bool = False) -> None:
        super().__init__(private=private or bool(arguments))
        self._arguments = arguments

    @property
    def url(self) -> str:
        return self.external_url or f"http://{self.address}"

    @property
    def address(self) -> str:
        """Host and port, in the form of FIRESTORE_EMULATOR_HOST."""
        return self.external_url.partition("://")[2] if self.external_url else f"{self.host}:{self.port}"

    @property
    def advice(self) -> str:
        return (
            "Google's emulator of Firestore is not installed: install Java and `gcloud components install "
            "cloud-firestore-emulator`, or apt-get install google-cloud-cli-firestore-emulator of Google's repository, "
            f"or set {self.environment_variable} to the URL of a running one"
        )

    def installed_version(self) -> str:
        answer = subprocess.run(
            [*self._program(), "--version"], check=False, capture_output=True, text=True, timeout=60
        )
        version = re.search(r"\d+(\.\d+)+", answer.stdout + answer.stderr)
        return f"emulator {version[0] if version else 'of an unknown version'}"

    def install(self) -> None:
        raise ServerUnavailableError(self.advice)

    def command(self) -> list[str]:
        return [*self._program(), "--host", self.host, "--port", str(self.port), *self._arguments]

    def ready(self) -> bool:
        connection = http.client.HTTPConnection(self.address, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == HTTPStatus.OK
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def _program(self) -> list[str]:
        java, gcloud = shutil.which(self.binary), shutil.which("gcloud")
        # The emulator is in the folder of the SDK.
        jar = Path(gcloud).resolve().parents[1] / _JAR if gcloud else None
        if java is None or jar is None or not jar.is_file():
            raise ServerUnavailableError(self.advice)
        # The emulator distinguishes errors by their messages, which depend on the locale. The full JIT compiler delays
        # the start by a second.
        return [java, "-Duser.language=en", "-XX:TieredStopAtLevel=1", "-cp", str(jar), _MAIN]
