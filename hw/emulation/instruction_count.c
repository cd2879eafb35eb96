/* Counts the instructions that an emulated program executes inside one function, call by call.
 *
 * A plugin of QEMU's user mode (TCG). Options: `function=NAME` is the function, `out=FILE` receives one line a call,
 * `call COUNT`, and at the end one line for each function that ran inside the last call, `function NAME COUNT`, its
 * own instructions in that call.
 *
 * Why not count the whole program: printing a time costs more or fewer instructions with its number of digits, and
 * start-up depends on the environment. Inside the function nothing depends on either, so that equal programs have equal
 * counts, to the last digit.
 *
 * A call begins with the function's first block and ends with the block that follows the one that called it. Blocks of
 * other threads count while a call is open.
 *
 * The declarations stand here because no distribution packages qemu-plugin.h with the emulator. They hold for every
 * version of the interface from 0 (QEMU 4.2) on; QEMU_PLUGIN_VERSION is set to one that the emulator at hand accepts.
 */
#include <stdbool.h>
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
struct qemu_plugin_insn;
struct qemu_info;
typedef void (*translated)(plugin_id, struct qemu_plugin_tb *);
typedef void (*executed)(unsigned int cpu, void *block);
typedef void (*ended)(plugin_id, void *);

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translated);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, executed, int flags, void *);
extern void qemu_plugin_register_atexit_cb(plugin_id, ended, void *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
extern const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *);

int qemu_plugin_version = QEMU_PLUGIN_VERSION;

struct function {
  char *name;
  uint64_t instructions;
  struct function *next;
};

struct block {
  uint64_t start;
  uint64_t end;
  uint64_t instructions;
  bool enters;
  struct function *function;
};

static const char *watched = "";
static const char *out_path = "";
static FILE *out;
static struct function *functions;

static const struct block *previous;
static bool inside;
static unsigned int caller_cpu;
static uint64_t return_address;
static uint64_t counted;

static struct function *function_of(const char *name) {
  for (struct function *each = functions; each != NULL; each = each->next)
    if (strcmp(each->name, name) == 0) return each;
  struct function *added = calloc(1, sizeof *added);
  added->name = strdup(name);
  added->next = functions;
  functions = added;
  return added;
}

static void on_executed(unsigned int cpu, void *data) {
  struct block *block = data;
  if (inside) {
    if (cpu == caller_cpu && block->start == return_address) {
      inside = false;
      fprintf(out, "call %llu\n", (unsigned long long)__atomic_load_n(&counted, __ATOMIC_RELAXED));
    }
  } else if (block->enters && previous != NULL) {
    inside = true;
    caller_cpu = cpu;
    return_address = previous->end;
    counted = 0;
    for (struct function *each = functions; each != NULL; each = each->next) each->instructions = 0;
  }
  if (inside) {
    __atomic_fetch_add(&counted, block->instructions, __ATOMIC_RELAXED);
    __atomic_fetch_add(&block->function->instructions, block->instructions, __ATOMIC_RELAXED);
  } else {
    previous = block;
  }
}

/* A block is never freed: translated code may run as long as the program does. */
static void on_translated(plugin_id id, struct qemu_plugin_tb *code) {
  (void)id;
  struct block *block = calloc(1, sizeof *block);
  size_t count = qemu_plugin_tb_n_insns(code);
  struct qemu_plugin_insn *first = qemu_plugin_tb_get_insn(code, 0);
  struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(code, count - 1);
  const char *symbol = qemu_plugin_insn_symbol(first);
  const char *name = symbol == NULL ? "?" : symbol;
  block->start = qemu_plugin_tb_vaddr(code);
  block->end = qemu_plugin_insn_vaddr(last) + qemu_plugin_insn_size(last);
  block->instructions = count;
  block->function = function_of(name);
  /* The function's own loops may start blocks too; only a block met outside a call can open one. */
  block->enters = strcmp(name, watched) == 0;
  qemu_plugin_register_vcpu_tb_exec_cb(code, on_executed, 0, block);
}

static void on_exit_of_program(plugin_id id, void *unused) {
  (void)id;
  (void)unused;
  for (struct function *each = functions; each != NULL; each = each->next)
    if (each->instructions != 0)
      fprintf(out, "function %s %llu\n", each->name, (unsigned long long)each->instructions);
  fclose(out);
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int count,
                                                               char **options) {
  (void)info;
  for (int index = 0; index < count; ++index) {
    if (strncmp(options[index], "function=", 9) == 0) watched = strdup(options[index] + 9);
    if (strncmp(options[index], "out=", 4) == 0) out_path = strdup(options[index] + 4);
  }
  out = fopen(out_path, "w");
  if (out == NULL) {
    fprintf(stderr, "instruction_count: cannot write %s\n", out_path);
    return 1;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated);
  qemu_plugin_register_atexit_cb(id, on_exit_of_program, NULL);
  return 0;
}
