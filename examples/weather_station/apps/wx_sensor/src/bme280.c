/* See bme280.h. Section and table numbers are the data sheet's. */
#include "bme280.h"

#include <i2c_client.h>

#define REG_CALIBRATION_LOW 0x88u /* 0x88 to 0xa1 */
#define REG_ID 0xd0u
#define REG_RESET 0xe0u
#define REG_CALIBRATION_HIGH 0xe1u /* 0xe1 to 0xe7 */
#define REG_CTRL_HUM 0xf2u
#define REG_STATUS 0xf3u
#define REG_CTRL_MEAS 0xf4u
#define REG_DATA 0xf7u /* pressure, temperature, humidity: 3, 3 and 2 bytes */

#define CHIP_ID 0x60u
#define RESET_WORD 0xb6u
#define STATUS_BUSY 0x09u /* measuring, or copying the trimming values */
#define HUM_X1 0x01u
#define MEAS_FORCED_X1 (1u << 5 | 1u << 2 | 1u)

#define POLL_MICROSECONDS 2000u
#define POLLS_MAX 50 /* a measurement with x1 takes 9.3 ms at most (9.1) */

static bool read_registers(const bme280_t *sensor, uint8_t start, void *buffer, uint16_t size)
{
    return kos_i2c_write_synchronous(sensor->bus, sensor->address, &start, 1) == 1 &&
           kos_i2c_read_synchronous(sensor->bus, sensor->address, buffer, size) == size;
}

static bool write_register(const bme280_t *sensor, uint8_t where, uint8_t value)
{
    const uint8_t bytes[] = {where, value};
    return kos_i2c_write_synchronous(sensor->bus, sensor->address, bytes, sizeof(bytes)) == sizeof(bytes);
}

static bool wait_until_idle(const bme280_t *sensor)
{
    for (int poll = 0; poll < POLLS_MAX; poll++) {
        uint8_t status;
        if (!read_registers(sensor, REG_STATUS, &status, 1)) {
            return false;
        }
        if ((status & STATUS_BUSY) == 0) {
            return true;
        }
        kos_delay(POLL_MICROSECONDS);
    }
    return false;
}

static uint16_t u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static int16_t s16(const uint8_t *bytes)
{
    return (int16_t)u16(bytes);
}

static void parse_calibration(bme280_calibration_t *c, const uint8_t *low, const uint8_t *high)
{
    c->T1 = u16(low);
    c->T2 = s16(low + 2);
    c->T3 = s16(low + 4);
    c->P1 = u16(low + 6);
    c->P2 = s16(low + 8);
    c->P3 = s16(low + 10);
    c->P4 = s16(low + 12);
    c->P5 = s16(low + 14);
    c->P6 = s16(low + 16);
    c->P7 = s16(low + 18);
    c->P8 = s16(low + 20);
    c->P9 = s16(low + 22);
    c->H1 = low[25];
    c->H2 = s16(high);
    c->H3 = high[2];
    /* H4 and H5 have 12 bits each and share register 0xe5. */
    c->H4 = (int16_t)((int8_t)high[3] * 16 + (high[4] & 0x0f));
    c->H5 = (int16_t)((int8_t)high[5] * 16 + (high[4] >> 4));
    c->H6 = (int8_t)high[6];
}

bool bme280_open(bme280_t *sensor, kos_token_t bus, uint16_t address)
{
    uint8_t id, low[26], high[7];
    sensor->bus = bus;
    sensor->address = address;
    if (!read_registers(sensor, REG_ID, &id, 1) || id != CHIP_ID) {
        return false;
    }
    if (!write_register(sensor, REG_RESET, RESET_WORD) || !wait_until_idle(sensor) ||
        !read_registers(sensor, REG_CALIBRATION_LOW, low, sizeof(low)) ||
        !read_registers(sensor, REG_CALIBRATION_HIGH, high, sizeof(high))) {
        return false;
    }
    parse_calibration(&sensor->calibration, low, high);
    return true;
}

bool bme280_measure(const bme280_t *sensor, bme280_reading_t *reading)
{
    uint8_t data[8];
    /* ctrl_hum takes effect with the write to ctrl_meas that follows it (5.4.3). */
    if (!write_register(sensor, REG_CTRL_HUM, HUM_X1) || !write_register(sensor, REG_CTRL_MEAS, MEAS_FORCED_X1) ||
        !wait_until_idle(sensor) || !read_registers(sensor, REG_DATA, data, sizeof(data))) {
        return false;
    }
    *reading = bme280_compensate(&sensor->calibration, data[3] << 12 | data[4] << 4 | data[5] >> 4,
                                 data[0] << 12 | data[1] << 4 | data[2] >> 4, data[6] << 8 | data[7]);
    return true;
}

static int32_t fine_temperature(const bme280_calibration_t *c, int32_t adc)
{
    int32_t var1 = ((((adc >> 3) - ((int32_t)c->T1 << 1))) * c->T2) >> 11;
    int32_t difference = (adc >> 4) - c->T1;
    int32_t var2 = (((difference * difference) >> 12) * c->T3) >> 14;
    return var1 + var2;
}

static uint32_t pressure(const bme280_calibration_t *c, int32_t adc, int32_t fine)
{
    int64_t var1 = (int64_t)fine - 128000;
    int64_t var2 = var1 * var1 * c->P6 + var1 * c->P5 * 131072 + ((int64_t)c->P4 << 35);
    var1 = ((var1 * var1 * c->P3) >> 8) + var1 * c->P2 * 4096;
    var1 = ((((int64_t)1 << 47) + var1) * c->P1) >> 33;
    if (var1 == 0) {
        return 0; /* a broken calibration must not divide by zero */
    }
    int64_t value = 1048576 - adc;
    value = ((value * ((int64_t)1 << 31) - var2) * 3125) / var1;
    var1 = ((int64_t)c->P9 * (value >> 13) * (value >> 13)) >> 25;
    var2 = ((int64_t)c->P8 * value) >> 19;
    return (uint32_t)(((value + var1 + var2) >> 8) + (int64_t)c->P7 * 16);
}

static uint32_t humidity(const bme280_calibration_t *c, int32_t adc, int32_t fine)
{
    int32_t value = fine - 76800;
    int32_t left = ((adc << 14) - c->H4 * 1048576 - c->H5 * value + 16384) >> 15;
    int32_t right = (((value * c->H6) >> 10) * (((value * (int32_t)c->H3) >> 11) + 32768)) >> 10;
    value = left * (((right + 2097152) * c->H2 + 8192) >> 14);
    value -= ((((value >> 15) * (value >> 15)) >> 7) * c->H1) >> 4;
    value = value < 0 ? 0 : value > 419430400 ? 419430400 : value;
    return (uint32_t)value >> 12;
}

bme280_reading_t bme280_compensate(const bme280_calibration_t *c, int32_t adc_t, int32_t adc_p, int32_t adc_h)
{
    int32_t fine = fine_temperature(c, adc_t);
    bme280_reading_t reading = {
        .temperature = (fine * 5 + 128) >> 8,
        .pressure = pressure(c, adc_p, fine),
        .humidity = humidity(c, adc_h, fine),
    };
    return reading;
}
