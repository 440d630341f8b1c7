"""asker: sends Samples to the C app that serves statistics_protocol, and prints the Summary of each."""

import signal

from statistics_pb2 import Samples, Summary

from kos import app

PORT = "statistics_protocol"
SUMMARISE = 1
BATCHES = ([3, -1, 4, 1, -5, 9], [], [2**31 - 1, -(2**31)])
TOO_MANY = list(range(257))  # one more than statistics.options allows


def ask(server: app.Token, values: list[int]) -> Summary:
    """The summary of some values."""
    request = Samples(unit="mm", values=values)
    reply = server.call(SUMMARISE, payload=request.SerializeToString())
    return Summary.FromString(bytes(reply.payload))


def main() -> None:
    server = app.connect(PORT)
    for values in BATCHES:
        answer = ask(server, values)
        limits = f"{answer.minimum} to {answer.maximum} {answer.unit}"
        print(f"{answer.count} values: {limits}, mean {answer.mean:.2f}")
    try:
        ask(server, TOO_MANY)
    except app.StatusError as error:
        print(f"{len(TOO_MANY)} values: {error.status.name}")
    app.ready()
    signal.pause()
