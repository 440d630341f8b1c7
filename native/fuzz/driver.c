/* Feed a fuzz target without libFuzzer: `fuzz_owned SEED COUNT`. The same seed gives the same inputs. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t state;

/* xorshift64*: good enough to choose bytes, and the same everywhere. */
static uint64_t next(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1d;
}

int main(int argc, char *argv[])
{
    static uint8_t data[1024];
    state = argc > 1 ? strtoull(argv[1], NULL, 0) | 1 : 1;
    unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 0) : 10000;
    for (unsigned long i = 0; i < count; i++) {
        size_t size = next() % sizeof data;
        for (size_t k = 0; k < size; k++) {
            /* Small numbers and all-ones are where limits are. */
            uint64_t choice = next();
            data[k] = (choice >> 8) % 4 == 0 ? (uint8_t)choice : (choice >> 8) % 4 == 1 ? 0xff : (uint8_t)(choice % 4);
        }
        LLVMFuzzerTestOneInput(data, size);
    }
    printf("ok: %lu inputs\n", count);
    return 0;
}
