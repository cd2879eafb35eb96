/* Times kernels in turn on the device that runs it: PROGRAM SECONDS MOST_SAMPLES.
 *
 * Prints one line a kernel: the nanoseconds of each sample. Samples of different kernels alternate, so that a change of
 * clock or load meets all of them. Before each sample memory beyond the caches' size is read, and then the kernel's
 * activations are touched: in a network a kernel finds them in the cache, and its weights far away.
 *
 * The clock is read twice a sample, around the kernel, and nowhere else: what is executed between two readings can be
 * counted in an emulator.
 */
#define _POSIX_C_SOURCE 200809L

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "trials.h"

#define ALIGNMENT 64u
#define FEWEST_SAMPLES 2

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint32_t next_random(void)
{
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

/* Small finite numbers of the element type, with as many signs and magnitudes as there are. */
static void fill(unsigned char *memory, const trial_buffer *buffer)
{
    for (size_t i = 0; i + buffer->element_bytes <= buffer->bytes; i += buffer->element_bytes) {
        uint32_t random = next_random();
        float real = (float)(int32_t)(random & 0xffffu) / 32768.0f - 1.0f;
        double wide = real;
        uint16_t half = (uint16_t)(0x2c00u | (random & 0x83ffu));
        uint64_t whole = random & 0x3fu;
        const void *value = &whole;
        if (buffer->real)
            value = buffer->element_bytes == 2 ? (void *)&half : buffer->element_bytes == 4 ? (void *)&real : (void *)&wide;
        memcpy(memory + i, value, buffer->element_bytes);
    }
}

static void *allocate(size_t bytes)
{
    void *memory = NULL;
    if (posix_memalign(&memory, ALIGNMENT, bytes + ALIGNMENT) != 0) {
        fprintf(stderr, "there is no memory for %zu bytes\n", bytes);
        exit(2);
    }
    return memory;
}

static unsigned touch(const unsigned char *memory, size_t bytes)
{
    unsigned sum = 0;
    for (size_t i = 0; i < bytes; i += ALIGNMENT)
        sum += ((const volatile unsigned char *)memory)[i];
    return sum;
}

static unsigned char *cold;
static uint64_t stopped;

static uint64_t sample(const trial *kernel, void **arguments)
{
    unsigned sum = touch(cold, EVICTED_BYTES);
    for (int i = 0; i < kernel->buffers; i++)
        if (!kernel->buffer[i].weights)
            sum += touch(arguments[i], kernel->buffer[i].bytes);
    cold[0] = (unsigned char)sum;
    uint64_t start = now();
    int status = kernel->call(arguments);
    stopped = now();
    if (status != 0) {
        fprintf(stderr, "a kernel failed with status %d\n", status);
        exit(3);
    }
    return stopped - start;
}

int main(int count, char **words)
{
    if (count != 3) {
        fprintf(stderr, "usage: %s SECONDS MOST_SAMPLES\n", words[0]);
        return 64;
    }
    double seconds = atof(words[1]);
    int most = atoi(words[2]);
    void *arguments[TRIALS][MOST_ARGUMENTS];
    uint64_t *times = allocate(sizeof(uint64_t) * TRIALS * (size_t)(most + 1));
    cold = allocate(EVICTED_BYTES);
    memset(cold, 1, EVICTED_BYTES);
    for (int k = 0; k < TRIALS; k++)
        for (int i = 0; i < trials[k].buffers; i++) {
            arguments[k][i] = allocate(trials[k].buffer[i].bytes);
            fill(arguments[k][i], &trials[k].buffer[i]);
        }
    for (int k = 0; k < TRIALS; k++)
        sample(&trials[k], arguments[k]);
    uint64_t deadline = stopped + (uint64_t)(seconds * 1e9);
    int taken = 0;
    while (taken < most && (taken < FEWEST_SAMPLES || stopped < deadline)) {
        for (int k = 0; k < TRIALS; k++)
            times[(size_t)k * (size_t)most + (size_t)taken] = sample(&trials[k], arguments[k]);
        taken++;
    }
    for (int k = 0; k < TRIALS; k++) {
        for (int i = 0; i < taken; i++)
            printf("%llu ", (unsigned long long)times[(size_t)k * (size_t)most + (size_t)i]);
        printf("\n");
    }
    return 0;
}
