/* A publisher's part of MQTT 3.1.1, QoS 1. One connection, one message at a time. */
#ifndef MQTT_H
#define MQTT_H

#include <stddef.h>
#include <stdint.h>

#define MQTT_TEXT_MAX 512u /* bytes of a topic and its data together */

/* Connect and introduce ourselves; a socket, or -1. */
int mqtt_open(const char *address, uint16_t port, const char *client);

/* Publish and wait until the broker has it; 0, or -1 when the connection is of no use any more. */
int mqtt_publish(int connection, const char *topic, const char *data, uint16_t identifier);

#endif
