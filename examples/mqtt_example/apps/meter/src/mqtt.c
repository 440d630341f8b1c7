/* See mqtt.h. Numbers in brackets are sections of the MQTT 3.1.1 specification. */
#include "mqtt.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEEP_ALIVE_SECONDS 0u /* we only speak when we have something to say */
#define HEADER_MAX 3u         /* a type and a length of up to 16,383 [2.2.3] */

static size_t put_text(uint8_t *to, const char *text)
{
    size_t size = strlen(text);
    to[0] = (uint8_t)(size >> 8);
    to[1] = (uint8_t)size;
    memcpy(to + 2, text, size);
    return size + 2;
}

static int send_packet(int connection, uint8_t type, const uint8_t *body, size_t size)
{
    uint8_t packet[HEADER_MAX + MQTT_TEXT_MAX + 16];
    size_t start = 1;
    packet[0] = type;
    if (size > 127) {
        packet[start++] = (uint8_t)((size & 0x7f) | 0x80);
        packet[start++] = (uint8_t)(size >> 7);
    } else {
        packet[start++] = (uint8_t)size;
    }
    memcpy(packet + start, body, size);
    return send(connection, packet, start + size, MSG_NOSIGNAL) == (ssize_t)(start + size) ? 0 : -1;
}

static int expect(int connection, uint8_t type, uint8_t *rest)
{
    uint8_t answer[4];
    if (recv(connection, answer, sizeof answer, MSG_WAITALL) != (ssize_t)sizeof answer || answer[0] != type) {
        return -1;
    }
    memcpy(rest, answer + 2, 2);
    return 0;
}

int mqtt_open(const char *address, uint16_t port, const char *client)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    uint8_t body[64] = {0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, KEEP_ALIVE_SECONDS}; /* [3.1.2] clean session */
    uint8_t code[2];
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connection < 0 || strlen(client) > 23 || inet_pton(AF_INET, address, &to.sin_addr) != 1) {
        return -1;
    }
    if (connect(connection, (struct sockaddr *)&to, sizeof to) != 0 ||
        send_packet(connection, 0x10, body, 10 + put_text(body + 10, client)) != 0 ||
        expect(connection, 0x20, code) != 0 || code[1] != 0) {
        close(connection);
        return -1;
    }
    return connection;
}

int mqtt_publish(int connection, const char *topic, const char *data, uint16_t identifier)
{
    uint8_t body[MQTT_TEXT_MAX + 8];
    uint8_t acknowledged[2];
    size_t size, data_size = strlen(data);
    if (strlen(topic) + data_size > MQTT_TEXT_MAX) {
        return -1;
    }
    size = put_text(body, topic);
    body[size++] = (uint8_t)(identifier >> 8);
    body[size++] = (uint8_t)identifier;
    memcpy(body + size, data, data_size);
    if (send_packet(connection, 0x32, body, size + data_size) != 0) { /* [3.3] PUBLISH, QoS 1 */
        return -1;
    }
    if (expect(connection, 0x40, acknowledged) != 0) { /* [3.4] PUBACK */
        return -1;
    }
    return acknowledged[0] == (uint8_t)(identifier >> 8) && acknowledged[1] == (uint8_t)identifier ? 0 : -1;
}
