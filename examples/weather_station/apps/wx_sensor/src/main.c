/*
 * wx_sensor: measures with a BME280 on i2c2 and sends each reading, as protobuf, to the station.
 *
 *     wx_sensor [INTERVAL]    milliseconds between two readings, 1000 without it
 */
#include <stdlib.h>

#include <kos.h>
#include <pb_encode.h>

#include "bme280.h"
#include "link.h"
#include "weather.pb.h"

#define BUS_PORT "kos_i2c2_protocol"
#define STATION_PORT "weather_protocol"
#define SENSOR_ADDRESS 0x76u
#define LABEL_READING 1u
#define INTERVAL_DEFAULT 1000u
#define INTERVAL_MAX 3600000u

static uint32_t parse_interval(int argc, char *argv[])
{
    if (argc < 2) {
        return INTERVAL_DEFAULT;
    }
    char *end;
    unsigned long value = strtoul(argv[1], &end, 10);
    kos_assert(*end == '\0' && value >= 1 && value <= INTERVAL_MAX, "interval %s: expected 1 to %u ms", argv[1],
               INTERVAL_MAX);
    return (uint32_t)value;
}

/* True when the station took the reading. */
static bool send_reading(kos_token_t station, uint32_t sequence, const bme280_reading_t *measured)
{
    weather_Reading reading = weather_Reading_init_zero;
    reading.sequence = sequence;
    reading.temperature_centi = measured->temperature;
    reading.pressure_pascal_256 = measured->pressure;
    reading.humidity_percent_1024 = measured->humidity;
    pb_ostream_t stream = pb_ostream_from_buffer(kos_msg_client_payload(), KOS_MSG_PAYLOAD_MAX_SIZE);
    kos_assert(pb_encode(&stream, weather_Reading_fields, &reading), "a reading always fits a message");
    kos_msg_t msg = kos_msg_new(LABEL_READING, 0, (uint16_t)stream.bytes_written, 0, 0);
    return kos_msg_call(station, 0, &msg) == STATUS_OK && msg.label == STATUS_OK;
}

int main(int argc, char *argv[])
{
    uint32_t interval = parse_interval(argc, argv);
    kos_msg_client_t client = {0};
    link_t bus, station;
    bme280_t sensor;

    kos_assert_created(kos_msg_setup(), "no message server");
    kos_token_t received;
    kos_assert_ok(kos_msg_token_slot_pool_alloc(&received), NULL);
    kos_assert_created(kos_msg_client_create(0, received, &client), NULL);
    link_init(&bus, BUS_PORT);
    link_init(&station, STATION_PORT);
    link_open(&bus);
    kos_assert(bme280_open(&sensor, bus.slot, SENSOR_ADDRESS), "no BME280 at address 0x%x", SENSOR_ADDRESS);
    kos_printf("BME280 at 0x%x, a reading every %u ms\n", SENSOR_ADDRESS, interval);
    kos_app_ready();

    for (uint32_t sequence = 1;; sequence++) {
        bme280_reading_t reading;
        /* A bus that fails ends the app: its restart opens everything anew. */
        kos_assert(bme280_measure(&sensor, &reading), "the sensor does not answer any more");
        link_open(&station);
        if (!send_reading(station.slot, sequence, &reading)) {
            kos_printf("reading %u was not taken: connecting to the station anew\n", sequence);
            link_broken(&station);
        }
        kos_delay((uint64_t)interval * 1000);
    }
}
