"""The plain HTTP side door of a service: /metrics, /healthz, /readyz.

For probes and Prometheus; no data of members.
"""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


class AdminServer:
    """Answers in a thread of its own, so that a busy event loop still gets its probes answered."""

    def __init__(self, host: str, port: int) -> None:
        self.ready = False
        admin = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:  # the name that http.server asks for
                status, kind, body = admin.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Probes are no news."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="admin", daemon=True
        )

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body for a path."""
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest()
        if path == "/healthz":
            return 200, "text/plain", b"ok\n"
        if path == "/readyz":
            return (
                (200, "text/plain", b"ready\n")
                if self.ready
                else (503, "text/plain", b"not ready\n")
            )
        return 404, "text/plain", b"there are /metrics, /healthz and /readyz\n"

    def start(self) -> None:
        """Starts to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stops, and frees the port."""
        self._server.shutdown()
        self._server.server_close()
