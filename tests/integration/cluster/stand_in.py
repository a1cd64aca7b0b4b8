"""A stand-in for a worker: shows what it was given, answers probes as it is told, ends when it is told.

GET /healthz and /readyz answer 200 until PUT to the same path sets another code. GET /env/NAME answers a variable, GET
/file/NAME the content of the file that the variable names.
"""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType

codes = {"/healthz": 200, "/readyz": 200}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        _, verb, *names = self.path.split("/")
        if verb == "env":
            self._answer(200, os.environ.get(names[0], ""))
        elif verb == "file":
            self._answer(200, Path(os.environ[names[0]]).read_text())
        else:
            self._answer(codes[self.path], "")

    def do_PUT(self) -> None:
        codes[self.path] = int(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(204, "")

    def _answer(self, code: int, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Not a line for every probe."""


def terminated(number: int, frame: FrameType | None) -> None:
    print("SIGTERM", flush=True)
    if os.environ.get("DEAF") != "yes":
        sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, terminated)
    print("started with", sys.argv[1:], flush=True)
    ThreadingHTTPServer((os.environ["WARMUP_TELEMETRY_HOST"], 3000), Handler).serve_forever()
