/*
 * A driver for Bosch's BME280 over an I2C server: one forced measurement at a time, compensated in whole numbers.
 * Source: BME280 data sheet, BST-BME280-DS002-15.
 */
#ifndef BME280_H
#define BME280_H

#include <stdbool.h>
#include <stdint.h>

#include <kos.h>

/* Trimming values; the names are the data sheet's (4.2.2, table 16). */
typedef struct bme280_calibration {
    uint16_t T1;
    int16_t T2, T3;
    uint16_t P1;
    int16_t P2, P3, P4, P5, P6, P7, P8, P9;
    uint8_t H1, H3;
    int16_t H2, H4, H5;
    int8_t H6;
} bme280_calibration_t;

typedef struct bme280 {
    kos_token_t bus; /* a token for the I2C server's port */
    uint16_t address;
    bme280_calibration_t calibration;
} bme280_t;

typedef struct bme280_reading {
    int32_t temperature; /* 0.01 °C */
    uint32_t pressure;   /* 1/256 Pa */
    uint32_t humidity;   /* 1/1024 % */
} bme280_reading_t;

/* Reset the sensor, check that it is one, and read its trimming values. False when the bus or the chip is wrong. */
bool bme280_open(bme280_t *sensor, kos_token_t bus, uint16_t address);

/* Measure once. False when the bus fails or the measurement does not end. */
bool bme280_measure(const bme280_t *sensor, bme280_reading_t *reading);

/* The compensation of raw values, as the data sheet gives it (4.2.3). */
bme280_reading_t bme280_compensate(const bme280_calibration_t *calibration, int32_t adc_t, int32_t adc_p,
                                   int32_t adc_h);

#endif /* BME280_H */
