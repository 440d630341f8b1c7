"""Hostile apps in their sandbox, in C and in Python, against ports, tokens, mailboxes and the message server.

What they do is refused, the console names them, and the two steady apps beside them miss nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kos.build import native
from tests.device.systems import app, c_app
from tests.security.hostile import PORT, beside_steady_apps

pytestmark = pytest.mark.group("security")

CLIENT = {"msg0": {PORT: {"role": "client"}}}
_HEADERS = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <kos.h>
static void *mailbox; static size_t mailbox_size; /* found in our own memory, where libkos mapped it */
static void find_mailbox(void)
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        char rights[5];
        if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) == 3 && !strcmp(rights, "rw-s") &&
            *(uint32_t *)from == KOS_ABI_MAILBOX_MAGIC) {
            mailbox = (void *)from;
            mailbox_size = to - from;
        }
    }
    fclose(maps);
}
static void connect_steady(void)
{
    kos_msg_client_t client = {0};
    kos_assert_created(kos_msg_setup(), NULL);
    kos_assert_created(kos_msg_client_create(0, 1, &client), NULL);
    while (kos_dir_request("steady_protocol", 5, KOS_MSG_FLAG_SEND_TOKEN, NULL) != STATUS_OK)
        kos_delay(10000);
    kos_msg_t msg = kos_msg_new(1, 41, 0, 0, 0);
    kos_assert_ok(kos_msg_call(5, 0, &msg), NULL);
    kos_assert_eq(msg.param, 42, NULL);
    find_mailbox();
}
int main(int argc, char *argv[])
{
    setvbuf(stdout, 0, _IONBF, 0);
"""


def kos_app(body: str, **members: Any) -> dict[str, Any]:
    """An app in C over libkos; `body` is that of its `main`."""
    tree = native.sdk("host")
    return c_app(
        _HEADERS + body + "\n    return 0;\n}\n",
        flags=[f"-I{tree}/include", f"{tree}/lib/libkos.a"],
        **members,
    )


# Every way to ask for a port that is not granted; each must say that there is no such port.
_REACH = {
    "C": lambda: kos_app(
        r"""
        kos_msg_client_t client = {0};
        kos_assert_created(kos_msg_setup(), NULL);
        kos_assert_created(kos_msg_client_create(0, 1, &client), NULL);
        kos_status_t got[] = {kos_dir_request("secret_protocol", 5, KOS_MSG_FLAG_SEND_TOKEN, NULL),
                              kos_dir_query("secret_protocol"), kos_dir_bind("secret_protocol", 0, 1, 0),
                              kos_dir_unbind("secret_protocol"), kos_dir_request("no_such", 5, 0, NULL),
                              kos_dir_request("../msg0/secret_protocol", 5, 0, NULL)};
        for (unsigned i = 0; i < sizeof got / sizeof *got; i++)
            if (got[i] != STATUS_NOT_FOUND) printf("got through: %u %s\n", i, kos_status_name(got[i]));
        printf("asked\n");
        """
    ),
    "Python": lambda: app(
        """
        from kos.app import StatusError, Server, _native
        def main():
            asks = [lambda name=name: _native.request(name, 2, 0, None)
                    for name in ("secret_protocol", "no_such", "../msg0/secret_protocol")]
            asks += [lambda: _native.query("secret_protocol"), lambda: _native.unbind("secret_protocol"),
                     lambda: Server().bind("secret_protocol", print)]
            _native.setup()
            for number, ask in enumerate(asks):
                try:
                    ask()
                    print("got through:", number)
                except StatusError as error:
                    if error.status.name != "NOT_FOUND":
                        print("got through:", number, error)
            print("asked")
        """
    ),
}


@pytest.mark.parametrize("language", _REACH)
def test_a_port_that_is_not_granted(tmp_path: Path, language: str) -> None:
    secret = app(
        "from kos.app import Server, ready\ndef main():\n    server = Server()\n"
        "    server.bind('secret_protocol', print)\n    ready()\n    server.serve()",
        access={"msg0": {"secret_protocol": {"role": "server"}}},
    )
    hostile = _REACH[language]()
    hostile["access"] = CLIENT
    with beside_steady_apps(
        tmp_path, hostile, others={"secret": secret}, ports=("secret_protocol",)
    ) as system:
        system.wait_for("| asked")
        system.wait_for("| supervisor         | hostile: ")
        assert any(
            "hostile: " in line and "refused: the manifest does not grant it" in line for line in system.lines
        )
        assert [line for line in system.lines if "got through" in line] == []


# Tokens: none of these slots was ever filled, one was given away, one is stale.
_GUESS = {
    "C": lambda: kos_app(
        r"""
        connect_steady();
        kos_msg_token_delete(5);
        for (unsigned long slot = 0; slot < 70; slot++) {
            kos_msg_t msg = kos_msg_new(1, 1, 0, 0, 0);
            if (kos_msg_call((kos_token_t)slot, 0, &msg) == STATUS_OK) printf("got through: %lu\n", slot);
            if (kos_msg_send((kos_token_t)slot, msg) == STATUS_OK) printf("got through: %lu\n", slot);
        }
        printf("guessed\n");
        """
    ),
    "Python": lambda: app(
        """
        from kos.app import StatusError, Token, connect
        def main():
            mine = connect("steady_protocol")
            stale = Token(mine.slot)
            assert mine.call(1, 41).param == 42
            mine.delete()
            for slot in [stale.slot, *range(70), 2**32 + 5, 2**64 - 1]:
                guessed = Token(slot)
                try:
                    guessed.call(1, 1)
                    print("got through:", slot)
                except StatusError:
                    pass
                finally:
                    guessed.slot = 0
            stale.slot = 0
            print("guessed")
        """
    ),
}


@pytest.mark.parametrize("language", _GUESS)
def test_guessed_and_stale_tokens(tmp_path: Path, language: str) -> None:
    hostile = _GUESS[language]()
    hostile["access"] = CLIENT
    with beside_steady_apps(tmp_path, hostile) as system:
        system.wait_for("| guessed")
        assert [line for line in system.lines if "got through" in line] == []


# Rewrites its mailbox while the owner reads it, for longer than the owner needs to notice.
_CORRUPT = {
    "C": lambda: kos_app(
        r"""
        connect_steady();
        uint32_t *words = mailbox;
        unsigned seed = 1;
        for (unsigned long n = 0; n < 3000000; n++) {
            words[rand_r(&seed) % (KOS_ABI_MAILBOX_HEADER_SIZE / 4)] = rand_r(&seed);
            words[KOS_MAILBOX_STATE / 4] = KOS_ABI_STATE_OPEN;
            words[KOS_MAILBOX_REQUEST_SIZE / 4] = 0xffffffff;
            words[KOS_MAILBOX_REQUEST_SEQ / 4] = n;
        }
        printf("corrupted\n");
        """
    ),
    "Python": lambda: app(
        """
        import ctypes, os, random, re
        from kos.abi import message
        from kos.app import connect
        def main():
            token = connect("steady_protocol")
            assert token.call(1, 41).param == 42
            for line in open("/proc/self/maps"):
                first, rights = line.split()[:2]
                if rights == "rw-s":
                    words = (ctypes.c_uint32 * (message.MAILBOX_HEADER_SIZE // 4)).from_address(
                        int(first.split("-")[0], 16))
                    if words[0] == message.MAILBOX_MAGIC:
                        break
            fields = {name: offset // 4 for name, (offset, _size, _writer) in message.MAILBOX_FIELDS.items()}
            choice = random.Random(1)
            for n in range(1, 20_000):
                words[choice.randrange(len(words))] = choice.getrandbits(32)
                words[fields["state"]] = message.STATE_OPEN
                words[fields["request_size"]] = 2**32 - 1
                words[fields["request_seq"]] = n
            print("corrupted")
        """
    ),
}


@pytest.mark.parametrize("language", _CORRUPT)
def test_a_mailbox_that_is_rewritten_while_its_owner_reads(tmp_path: Path, language: str) -> None:
    hostile = _CORRUPT[language]()
    hostile["access"] = CLIENT
    with beside_steady_apps(tmp_path, hostile) as system:
        system.wait_for("| corrupted")
        system.wait_for("| supervisor         | hostile: steady_server was sent ")


# Outside of its mailbox there is nothing to write to; the memory cannot be made larger, smaller or other.
_OUTSIDE = r"""
    connect_steady();
    if (argc > 1) {
        char *beyond = mremap(mailbox, mailbox_size, mailbox_size * 2, MREMAP_MAYMOVE);
        if (beyond == MAP_FAILED) raise(SIGBUS);
        beyond[mailbox_size] = 1;
        printf("got through\n");
    }
    unsigned hit = 0;
    for (int fd = 3; fd < 64; fd++) {
        hit += ftruncate(fd, 1 << 20) == 0;
        hit += pwrite(fd, "xxxxxxxx", 8, KOS_ABI_MAILBOX_SIZE) == 8;
    }
    printf("hit %u\n", hit);
"""


def test_outside_of_its_mailbox_there_is_nothing(tmp_path: Path) -> None:
    hostile = kos_app(_OUTSIDE, access=CLIENT)
    beyond = kos_app(_OUTSIDE, access=CLIENT, arguments=["beyond"])
    with beside_steady_apps(tmp_path, hostile, others={"hostile_beyond": beyond}) as system:
        system.wait_for("| hostile            | hit 0")
        system.wait_for("hostile_beyond: killed by SIGBUS")
        assert [line for line in system.lines if "got through" in line] == []


# The control connection, found as the descriptor that the environment names.
_CONTROL = {
    "C": lambda: kos_app(
        r"""
        int control = atoi(strchr(getenv("KOS_MSG_SERVERS"), ':') + 1), null = dup(0);
        char garbage[8192];
        for (unsigned n = 0; n < 40; n++) {
            memset(garbage, (int)n, sizeof garbage);
            send(control, garbage, n * 200 + 1, 0);
            recv(control, garbage, sizeof garbage, 0);
        }
        char room[CMSG_SPACE(sizeof null)] = {0}, packet[56] = {2};
        struct iovec part = {packet, sizeof packet};
        struct msghdr with = {.msg_iov = &part, .msg_iovlen = 1};
        with.msg_control = room, with.msg_controllen = sizeof room;
        struct cmsghdr rights = {CMSG_LEN(sizeof null), SOL_SOCKET, SCM_RIGHTS};
        *CMSG_FIRSTHDR(&with) = rights;
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&with)), &null, sizeof null);
        for (unsigned n = 0; n < 40; n++) {
            if (sendmsg(control, &with, MSG_NOSIGNAL) < 0) break;
            recv(control, garbage, sizeof garbage, 0);
        }
        while (send(control, packet, sizeof packet, MSG_NOSIGNAL | MSG_DONTWAIT) > 0 || errno == EAGAIN);
        printf("hung up\n");
        pause();
        """
    ),
    "Python": lambda: app(
        """
        import os, socket, time
        def main():
            control = socket.socket(fileno=int(os.environ["KOS_MSG_SERVERS"].split(":")[1]))
            for n in range(40):
                control.send(bytes([n]) * (n * 200 + 1))
                control.recv(8192)
            packet = bytes([2]).ljust(56, bytes(1))
            try:
                for n in range(40):
                    socket.send_fds(control, [packet], [0] * 5)
                    control.recv(8192)
                control.setblocking(False)
                while True:
                    try:
                        control.send(packet)
                    except BlockingIOError:
                        pass
            except OSError as error:
                print("hung up")
            time.sleep(1000)
        """
    ),
}


@pytest.mark.parametrize("language", _CONTROL)
def test_garbage_descriptors_and_floods_on_the_control_connection(tmp_path: Path, language: str) -> None:
    hostile = _CONTROL[language]()
    hostile["access"] = CLIENT
    with beside_steady_apps(tmp_path, hostile) as system:
        system.wait_for(lambda line: "| supervisor         | hostile: a packet " in line)
        system.wait_for("hostile: broke the protocol 65 times and is disconnected")
        system.wait_for("hostile: killed: msg0 disconnected it: it broke the protocol 65 times")
