/* Counts what an emulated program executes between two events: instructions, memory accesses, and cache misses.
 *
 * A plugin of QEMU's user mode (TCG). Events are two system calls: the one that reads the clock, and `close` of a
 * negative number, by which the runner marks the begin and the end of a step. Options: `clock=NUMBER` and
 * `close=NUMBER` are the numbers of the calls; `l1=BYTES` and `last=BYTES` the sizes of the data caches, 0 for none;
 * `out=FILE` receives one line an event: `clock|mark NUMBER INSTRUCTIONS ACCESSES L1_MISSES LAST_LEVEL_MISSES`, the
 * counts since the event before.
 *
 * Why not count the whole program: printing a time costs more or fewer instructions with its number of digits, and
 * start-up depends on the environment. Between the two readings of the clock around an inference nothing depends on
 * either, so that equal programs have equal counts, to the last digit.
 *
 * The caches: two levels of data cache with lines of 64 bytes and 8 ways, the least recently used line replaced, lines
 * allocated on reads and writes alike. No prefetcher, no instruction fetch, no address translation: a miss count is
 * the traffic that the order of accesses causes, not what a certain core would count.
 *
 * The program runs on one thread, so nothing here is locked. The declarations stand here because no distribution
 * packages qemu-plugin.h with the emulator. They hold for every version of the interface from 0 (QEMU 4.2) on;
 * QEMU_PLUGIN_VERSION is set to one that the emulator at hand accepts.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef QEMU_PLUGIN_VERSION
#define QEMU_PLUGIN_VERSION 1
#endif

#define LINE_SHIFT 6
#define WAYS 8
#define READ_AND_WRITE 3

typedef uint64_t plugin_id;
typedef uint32_t access_info;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;
typedef void (*translated)(plugin_id, struct qemu_plugin_tb *);
typedef void (*executed)(unsigned int cpu, void *instructions);
typedef void (*accessed)(unsigned int cpu, access_info, uint64_t address, void *unused);
typedef void (*called)(plugin_id, unsigned int cpu, int64_t number, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                       uint64_t, uint64_t, uint64_t);
typedef void (*ended)(plugin_id, void *);

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translated);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, executed, int flags, void *);
extern void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, accessed, int flags, int direction, void *);
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id, called);
extern void qemu_plugin_register_atexit_cb(plugin_id, ended, void *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern unsigned int qemu_plugin_mem_size_shift(access_info);

__attribute__((visibility("default"))) int qemu_plugin_version = QEMU_PLUGIN_VERSION;

/* The lines of a set stand in order of use, the latest first. A line is stored plus one, so that 0 is none. */
typedef struct cache {
    uint64_t *lines;
    uint32_t sets;
    uint64_t misses;
} cache;

static long long clock_call, close_call;
static FILE *out;
static uint64_t instructions, accesses;
static cache first, last;

/* Whether the line was there; it is the latest used one of its set afterwards. */
static int touch(cache *level, uint64_t line)
{
    uint64_t *const set = level->lines + (size_t)((uint32_t)line % level->sets) * WAYS;
    uint64_t carried = line + 1;
    for (int way = 0; way < WAYS; ++way) {
        const uint64_t held = set[way];
        set[way] = carried;
        if (held == line + 1) {
            return 1;
        }
        carried = held;
    }
    ++level->misses;
    return 0;
}

static void on_accessed(unsigned int cpu, access_info info, uint64_t address, void *unused)
{
    (void)cpu, (void)unused;
    ++accesses;
    if (first.sets == 0) {
        return;
    }
    const uint64_t end = (address + (1u << qemu_plugin_mem_size_shift(info)) - 1) >> LINE_SHIFT;
    for (uint64_t line = address >> LINE_SHIFT; line <= end; ++line) {
        if (!touch(&first, line) && last.sets != 0) {
            touch(&last, line);
        }
    }
}

static void on_executed(unsigned int cpu, void *count)
{
    (void)cpu;
    instructions += (uint64_t)(uintptr_t)count;
}

static void on_translated(plugin_id id, struct qemu_plugin_tb *block)
{
    (void)id;
    const size_t count = qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_cb(block, on_executed, 0, (void *)(uintptr_t)count);
    for (size_t index = 0; index < count; ++index) {
        struct qemu_plugin_insn *const instruction = qemu_plugin_tb_get_insn(block, index);
        qemu_plugin_register_vcpu_mem_cb(instruction, on_accessed, 0, READ_AND_WRITE, NULL);
    }
}

static void on_called(plugin_id id, unsigned int cpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                      uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    (void)id, (void)cpu, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    const int marked = number == close_call && (int32_t)a < 0;
    if (number != clock_call && !marked) {
        return;
    }
    fprintf(out, "%s %d %llu %llu %llu %llu\n", marked ? "mark" : "clock", marked ? -2 - (int32_t)a : 0,
            (unsigned long long)instructions, (unsigned long long)accesses, (unsigned long long)first.misses,
            (unsigned long long)(last.sets != 0 ? last.misses : first.misses));
    instructions = accesses = first.misses = last.misses = 0;
}

static void on_exit_of_program(plugin_id id, void *unused)
{
    (void)id, (void)unused;
    fclose(out);
}

static cache cache_of(const char *bytes)
{
    cache made = {NULL, (uint32_t)(strtoull(bytes, NULL, 10) / (WAYS << LINE_SHIFT)), 0};
    made.lines = calloc((size_t)made.sets * WAYS + 1, sizeof *made.lines);
    made.sets = made.lines == NULL ? 0 : made.sets;
    return made;
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int count,
                                                               char **options)
{
    (void)info;
    const char *path = "";
    for (int index = 0; index < count; ++index) {
        const char *const value = strchr(options[index], '=') + 1;
        if (strncmp(options[index], "clock=", 6) == 0) {
            clock_call = atoll(value);
        } else if (strncmp(options[index], "close=", 6) == 0) {
            close_call = atoll(value);
        } else if (strncmp(options[index], "l1=", 3) == 0) {
            first = cache_of(value);
        } else if (strncmp(options[index], "last=", 5) == 0) {
            last = cache_of(value);
        } else if (strncmp(options[index], "out=", 4) == 0) {
            path = value;
        }
    }
    out = fopen(path, "w");
    if (out == NULL) {
        fprintf(stderr, "instruction_count: cannot write %s\n", path);
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated);
    qemu_plugin_register_vcpu_syscall_cb(id, on_called);
    qemu_plugin_register_atexit_cb(id, on_exit_of_program, NULL);
    return 0;
}
