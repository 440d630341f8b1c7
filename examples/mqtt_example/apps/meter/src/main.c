/* meter: counts, and publishes the count by MQTT every so many milliseconds. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <kos.h>

#include "mqtt.h"

#define BROKER "127.0.0.1" /* the relay, in this app's own network */
#define PORT 1883u
#define RETRY_MICROSECONDS 100000u

int main(int argc, char *argv[])
{
    unsigned long interval = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    unsigned count = 0;
    int connection = -1;
    char text[16];

    kos_assert_eq(kos_msg_setup(), STATUS_CREATED, NULL);
    kos_app_ready();
    for (;;) {
        if (connection < 0 && (connection = mqtt_open(BROKER, PORT, argv[0])) < 0) {
            kos_delay(RETRY_MICROSECONDS);
            continue;
        }
        snprintf(text, sizeof text, "%u", count + 1);
        if (mqtt_publish(connection, "energy/count", text, (uint16_t)(count % 65535 + 1)) != 0) {
            close(connection);
            connection = -1;
            continue;
        }
        count++;
        kos_printf("published count %u\n", count);
        kos_delay(interval * 1000);
    }
}
