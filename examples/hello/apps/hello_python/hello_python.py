"""hello_python: serves hello_protocol. A greeting comes in as text, an answer goes out as text."""

from kos import app

PORT = "hello_protocol"
GREET = 1


def greet(request: app.Request) -> bytes:
    """The answer to a greeting. Who sent it, the message server says; the text could claim anything."""
    text = bytes(request.payload).decode("utf-8", "replace")
    print(f"{request.client.name} says: {text}")
    return f"hello {request.client.name}, and hello {text}".encode()


def main() -> None:
    server = app.Server()
    server.bind(PORT, {GREET: greet})
    app.ready()
    server.serve()
