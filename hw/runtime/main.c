/* Runs a network from the command line:
 *
 *   NAME-run INPUTS.bin OUTPUTS.bin [--warmup N] [--iterations N] [--trace FILE | --mark yes]
 *
 * INPUTS.bin holds all inputs, raw, one after the other in the order of the interface; OUTPUTS.bin receives the outputs
 * likewise. Each iteration prints {"iteration": I, "nanoseconds": T}. The trace file receives, for each step,
 * {"step": S, "nanoseconds": T} with the mean over the iterations of the time spent in that step per run.
 * With --mark, an iteration closes file -2 - 2 * STEP before each step and -3 - 2 * STEP after it: there are no such files,
 * so nothing happens, but an emulator sees which step is running.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "edgec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern const edgec_model EDGEC_MODEL;

#ifdef EDGEC_MESSAGE
const char *EDGEC_MESSAGE(void); /* what a status leaves open */
#endif

typedef struct trace {
    int64_t *nanoseconds;
    int steps;
    int64_t started;
} trace;

typedef struct options {
    const char *inputs;
    const char *outputs;
    const char *trace;
    int marked;
    long warmup;
    long iterations;
} options;

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int fail(const char *what, const char *which)
{
    fprintf(stderr, "%s: %s: %s\n", EDGEC_MODEL.name, what, which);
    return 1;
}

static void record(void *context, int step, int finished)
{
    trace *const times = context;
    if (!finished) {
        times->started = now();
        return;
    }
    const int64_t spent = now() - times->started;
    if (step >= times->steps) {
        int64_t *const larger = realloc(times->nanoseconds, (size_t)(step + 1) * sizeof *larger);
        if (larger == NULL) {
            fail("out of memory", "trace");
            exit(1);
        }
        memset(larger + times->steps, 0, (size_t)(step + 1 - times->steps) * sizeof *larger);
        times->nanoseconds = larger;
        times->steps = step + 1;
    }
    times->nanoseconds[step] += spent;
}

static void mark(void *context, int step, int finished)
{
    (void)context;
    (void)close(-2 - 2 * step - finished);
}

static void *aligned(size_t bytes)
{
    void *memory = NULL;
    return posix_memalign(&memory, 64, bytes == 0 ? 64 : bytes) == 0 ? memory : NULL;
}

static int parse_count(const char *text, long *count)
{
    char *end = NULL;
    errno = 0;
    *count = strtol(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *count >= 0;
}

static int parse(int argc, char **argv, options *given)
{
    if (argc < 3) {
        return fail("usage", "INPUTS.bin OUTPUTS.bin [--warmup N] [--iterations N] [--trace FILE | --mark yes]");
    }
    given->inputs = argv[1];
    given->outputs = argv[2];
    given->iterations = 1;
    for (int i = 3; i < argc; i += 2) {
        if (i + 1 == argc) {
            return fail("option without a value", argv[i]);
        }
        if (strcmp(argv[i], "--trace") == 0) {
            given->trace = argv[i + 1];
        } else if (strcmp(argv[i], "--mark") == 0) {
            given->marked = strcmp(argv[i + 1], "yes") == 0;
        } else if (strcmp(argv[i], "--warmup") == 0) {
            if (!parse_count(argv[i + 1], &given->warmup)) {
                return fail("not a number", argv[i + 1]);
            }
        } else if (strcmp(argv[i], "--iterations") == 0) {
            if (!parse_count(argv[i + 1], &given->iterations) || given->iterations == 0) {
                return fail("not a positive number", argv[i + 1]);
            }
        } else {
            return fail("unknown option", argv[i]);
        }
    }
    return 0;
}

static int read_inputs(const char *path, void **inputs)
{
    FILE *const file = fopen(path, "rb");
    if (file == NULL) {
        return fail("cannot read", path);
    }
    for (int i = 0; i < EDGEC_MODEL.input_count; ++i) {
        const size_t bytes = EDGEC_MODEL.inputs[i].bytes;
        inputs[i] = aligned(bytes);
        if (inputs[i] == NULL) {
            fclose(file);
            return fail("out of memory", EDGEC_MODEL.inputs[i].name);
        }
        if (fread(inputs[i], 1, bytes, file) != bytes) {
            fclose(file);
            return fail("too short for the inputs", path);
        }
    }
    const int more = fgetc(file) != EOF;
    fclose(file);
    return more ? fail("longer than the inputs", path) : 0;
}

static int write_outputs(const char *path, void **outputs)
{
    FILE *const file = fopen(path, "wb");
    if (file == NULL) {
        return fail("cannot write", path);
    }
    int complete = 1;
    for (int i = 0; i < EDGEC_MODEL.output_count; ++i) {
        const size_t bytes = EDGEC_MODEL.outputs[i].bytes;
        complete &= fwrite(outputs[i], 1, bytes, file) == bytes;
    }
    complete &= fclose(file) == 0;
    return complete ? 0 : fail("cannot write", path);
}

static int write_trace(const char *path, const trace *times, long iterations)
{
    FILE *const file = fopen(path, "w");
    if (file == NULL) {
        return fail("cannot write", path);
    }
    for (int step = 0; step < times->steps; ++step) {
        fprintf(file, "{\"step\": %d, \"nanoseconds\": %lld}\n", step,
                (long long)(times->nanoseconds[step] / iterations));
    }
    return fclose(file) == 0 ? 0 : fail("cannot write", path);
}

static int run(const options *given, void *workspace, void **inputs, void **outputs, trace *times)
{
    const edgec_step_hook hook = given->trace != NULL ? record : given->marked ? mark : NULL;
    for (long i = -given->warmup; i < given->iterations; ++i) {
        const int64_t start = now();
        const int status = EDGEC_MODEL.run_traced(workspace, (const void *const *)inputs, outputs,
                                                  i < 0 ? NULL : hook, times);
        const int64_t spent = now() - start;
        if (status != EDGEC_OK) {
#ifdef EDGEC_MESSAGE
            fail("run failed", EDGEC_MESSAGE());
#endif
            return fail("run failed", edgec_status_text(status));
        }
        if (i >= 0) {
            printf("{\"iteration\": %ld, \"nanoseconds\": %lld}\n", i, (long long)spent);
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    options given = {0};
    if (parse(argc, argv, &given) != 0) {
        return 2;
    }
    void **const inputs = calloc((size_t)EDGEC_MODEL.input_count + 1, sizeof *inputs);
    void **const outputs = calloc((size_t)EDGEC_MODEL.output_count + 1, sizeof *outputs);
    void *const workspace = aligned(EDGEC_MODEL.workspace_bytes());
    if (inputs == NULL || outputs == NULL || workspace == NULL) {
        return fail("out of memory", "workspace");
    }
    if (read_inputs(given.inputs, inputs) != 0) {
        return 2;
    }
    for (int i = 0; i < EDGEC_MODEL.output_count; ++i) {
        outputs[i] = aligned(EDGEC_MODEL.outputs[i].bytes);
        if (outputs[i] == NULL) {
            return fail("out of memory", EDGEC_MODEL.outputs[i].name);
        }
    }
    trace times = {0};
    if (run(&given, workspace, inputs, outputs, &times) != 0) {
        return 1;
    }
    if (given.trace != NULL && write_trace(given.trace, &times, given.iterations) != 0) {
        return 2;
    }
    return write_outputs(given.outputs, outputs) == 0 ? 0 : 2;
}
