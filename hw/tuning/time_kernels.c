/* Times kernels in turn on the device that runs it: PROGRAM SECONDS MOST_SAMPLES.
 *
 * Prints one line a kernel: the nanoseconds of each sample. Samples of different kernels alternate, so that a change of
 * clock or load meets all of them, and all kernels use the same memory, since caches care about its physical addresses.
 * Before each sample as much other memory is read as the network reads between two runs of a kernel, and then the
 * kernel's activations are touched: in a network a kernel finds them in the cache, and its weights far away.
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

#define ALIGNMENT 4096u
#define LINE 64u
#define FEWEST_SAMPLES 7

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

/* Numbers that are small and finite whatever the element type, with both signs. */
static void fill(unsigned char *memory, size_t bytes)
{
    for (size_t i = 0; i + sizeof(uint32_t) <= bytes; i += sizeof(uint32_t)) {
        uint32_t value = 0x3c003c00u | (next_random() & 0x00ff00ffu) | (next_random() & 0x80u) << 8 | (next_random() & 0x80u) << 24;
        memcpy(memory + i, &value, sizeof value);
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

static size_t largest_in_slot(int slot)
{
    size_t bytes = 0;
    for (int k = 0; k < TRIALS; k++)
        for (int i = 0; i < trials[k].buffers; i++)
            if (trials[k].buffer[i].slot == slot && trials[k].buffer[i].bytes > bytes)
                bytes = trials[k].buffer[i].bytes;
    return bytes;
}

static unsigned touch(const unsigned char *memory, size_t bytes)
{
    unsigned sum = 0;
    for (size_t i = 0; i < bytes; i += LINE)
        sum += ((const volatile unsigned char *)memory)[i];
    return sum;
}

static unsigned char *cold;
static uint64_t stopped;

static uint64_t sample(const trial *kernel, void **arguments)
{
    unsigned sum = touch(cold, EVICTED_BYTES);
    for (int i = 0; i < kernel->buffers; i++)
        if (kernel->buffer[i].role != WEIGHTS)
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
    unsigned char *slots[MOST_ARGUMENTS];
    for (int i = 0; i < MOST_ARGUMENTS; i++) {
        size_t bytes = largest_in_slot(i);
        slots[i] = allocate(bytes);
        fill(slots[i], bytes);
    }
    for (int k = 0; k < TRIALS; k++)
        for (int i = 0; i < trials[k].buffers; i++)
            arguments[k][i] = slots[trials[k].buffer[i].slot];
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
