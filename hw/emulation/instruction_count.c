/* Counts the instructions that an emulated program executes between two system calls of one kind.
 *
 * A plugin of QEMU's user mode (TCG). Options: `call=NUMBER` is the system call's number, `out=FILE` receives one line
 * for each pair of consecutive calls: the instructions executed by all threads from the first to the second.
 *
 * Why not count the whole program: printing a time costs more or fewer instructions with its number of digits, and
 * start-up depends on the environment. Between the two readings of the clock around an inference nothing depends on
 * either, so that equal programs have equal counts, to the last digit.
 *
 * The declarations stand here because no distribution packages qemu-plugin.h with the emulator. They hold for every
 * version of the interface from 0 (QEMU 4.2) on; QEMU_PLUGIN_VERSION is set to one that the emulator at hand accepts.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef QEMU_PLUGIN_VERSION
#define QEMU_PLUGIN_VERSION 1
#endif

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_info;
typedef void (*translated)(plugin_id, struct qemu_plugin_tb *);
typedef void (*executed)(unsigned int cpu, void *instructions);
typedef void (*called)(plugin_id, unsigned int cpu, int64_t number, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                       uint64_t, uint64_t, uint64_t);
typedef void (*ended)(plugin_id, void *);

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translated);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, executed, int flags, void *);
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id, called);
extern void qemu_plugin_register_atexit_cb(plugin_id, ended, void *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);

int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static long long watched;
static FILE *out;
static uint64_t instructions;
static unsigned calls;

static void on_executed(unsigned int cpu, void *count)
{
    (void)cpu;
    __atomic_fetch_add(&instructions, (uint64_t)(uintptr_t)count, __ATOMIC_RELAXED);
}

static void on_translated(plugin_id id, struct qemu_plugin_tb *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(block, on_executed, 0, (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

static void on_called(plugin_id id, unsigned int cpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                      uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    (void)id, (void)cpu, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number != watched) {
        return;
    }
    const uint64_t executed_since = __atomic_exchange_n(&instructions, 0, __ATOMIC_RELAXED);
    if (calls++ != 0) {
        fprintf(out, "%llu\n", (unsigned long long)executed_since);
    }
}

static void on_exit_of_program(plugin_id id, void *unused)
{
    (void)id, (void)unused;
    fclose(out);
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int count,
                                                               char **options)
{
    (void)info;
    const char *path = "";
    for (int index = 0; index < count; ++index) {
        if (strncmp(options[index], "call=", 5) == 0) {
            watched = atoll(options[index] + 5);
        }
        if (strncmp(options[index], "out=", 4) == 0) {
            path = options[index] + 4;
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
