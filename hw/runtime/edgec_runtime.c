/* What every network needs at run time: checks, status texts, and the threads that share a kernel.
 *
 * EDGEC_THREADS is the number of threads that a kernel is split over; 1, or no operating system, means none. The file
 * is the same in every artefact, so that networks may be linked into one program: the first copy serves all.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "edgec.h"

#ifndef EDGEC_THREADS
#define EDGEC_THREADS 1
#endif

#if defined(__unix__) || defined(__APPLE__)
#define EDGEC_HOSTED 1
#else
#define EDGEC_HOSTED 0
#endif

#define CACHE_LINE 64u

const char *edgec_status_text(int status)
{
    switch (status) {
    case EDGEC_OK:
        return "ok";
    case EDGEC_NULL_POINTER:
        return "the workspace, an input or an output is a null pointer";
    case EDGEC_UNALIGNED:
        return "an input or output is not aligned to its element type";
    case EDGEC_KERNEL_FAILED:
        return "a kernel, or a part of it on one thread, returned an error";
    case EDGEC_TOO_MANY_ITERATIONS:
        return "a loop's computed trip count exceeds the bound known at compile time";
    case EDGEC_NO_DEVICE:
        return "no driver, or no device, of the graphics processor that the network needs";
    case EDGEC_DEVICE_FAILED:
        return "the graphics processor or its driver refused something";
    default:
        return "unknown status";
    }
}

static size_t element_bytes(const edgec_tensor_info *tensor)
{
    size_t elements = 1;
    for (int axis = 0; axis < tensor->rank; ++axis) {
        elements *= (size_t)tensor->shape[axis];
    }
    return elements == 0 ? 1 : tensor->bytes / elements;
}

static int check_tensor(const edgec_tensor_info *tensor, const void *data)
{
    if (data == NULL && tensor->bytes != 0) {
        return EDGEC_NULL_POINTER;
    }
    return (uintptr_t)data % element_bytes(tensor) == 0 ? EDGEC_OK : EDGEC_UNALIGNED;
}

int edgec_check(const edgec_model *model, const void *workspace, const void *const inputs[], void *const outputs[])
{
    if ((workspace == NULL && model->workspace_bytes() != 0) || (inputs == NULL && model->input_count != 0) ||
        (outputs == NULL && model->output_count != 0)) {
        return EDGEC_NULL_POINTER;
    }
    for (int i = 0; i < model->input_count; ++i) {
        const int status = check_tensor(&model->inputs[i], inputs[i]);
        if (status != EDGEC_OK) {
            return status;
        }
    }
    for (int i = 0; i < model->output_count; ++i) {
        const int status = check_tensor(&model->outputs[i], outputs[i]);
        if (status != EDGEC_OK) {
            return status;
        }
    }
    return EDGEC_OK;
}

unsigned char *edgec_align(void *workspace)
{
    const uintptr_t address = (uintptr_t)workspace;
    return (unsigned char *)workspace + (CACHE_LINE - address % CACHE_LINE) % CACHE_LINE;
}

/* The interface that TVM's code generator expects: a pointer with this name, zero unless someone defines it. */
typedef struct edgec_task_group {
    void *synchronisation;
    int32_t tasks;
} edgec_task_group;

typedef int (*edgec_task)(int task, edgec_task_group *group, void *context);

static int launch(edgec_task function, void *context, int tasks);

int (*__TVMBackendParallelLaunch)(edgec_task function, void *context, int tasks) = launch;

static int run_alone(edgec_task function, void *context)
{
    edgec_task_group group = {NULL, 1};
    return function(0, &group, context);
}

#if EDGEC_HOSTED && EDGEC_THREADS > 1

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Threads spin before they sleep: the next kernel usually follows within microseconds, and to wake a thread takes tens
 * of them. Now and then they yield, as the thread that they wait for may be waiting for their core. */
#define SPINS 100000
#define SPINS_BETWEEN_YIELDS 1000

static inline void relax(int spin)
{
    if (spin % SPINS_BETWEEN_YIELDS == SPINS_BETWEEN_YIELDS - 1) {
        sched_yield();
        return;
    }
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield");
#endif
}

/* A launch has a task for each thread. A thread takes its own first, as the data of the kernel before is in its cache,
 * and then those that others have not begun: who is asleep, or waits for a core, keeps nobody waiting. */
static struct {
    pthread_mutex_t in_use; /* held by the run that uses the workers */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_once_t started;
    atomic_uint round; /* counts launches; a worker looks for tasks when it changes */
    atomic_int sleepers;
    atomic_int unfinished;
    atomic_int failed;
    atomic_uint tickets[EDGEC_THREADS]; /* of each task: twice its round, and 1 more once a thread has taken it */
    edgec_task function;
    void *context;
} pool = {.in_use = PTHREAD_MUTEX_INITIALIZER,
          .mutex = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER,
          .started = PTHREAD_ONCE_INIT};

/* Takes and runs tasks of a round until none is left. The round of a task that was taken cannot end before the task
 * does, so `function` and `context` are read only after that. */
static void run_tasks(int thread, unsigned round)
{
    for (int i = 0; i < EDGEC_THREADS; ++i) {
        const int task = (thread + i) % EDGEC_THREADS;
        unsigned free_ticket = 2 * round;
        if (!atomic_compare_exchange_strong(&pool.tickets[task], &free_ticket, 2 * round + 1)) {
            continue;
        }
        edgec_task_group group = {NULL, EDGEC_THREADS};
        if (pool.function(task, &group, pool.context) != 0) {
            atomic_store(&pool.failed, 1);
        }
        atomic_fetch_sub(&pool.unfinished, 1);
    }
}

static unsigned await_round(unsigned seen)
{
    for (int spin = 0; spin < SPINS; ++spin) {
        const unsigned round = atomic_load(&pool.round);
        if (round != seen) {
            return round;
        }
        relax(spin);
    }
    pthread_mutex_lock(&pool.mutex);
    atomic_fetch_add(&pool.sleepers, 1);
    while (atomic_load(&pool.round) == seen) {
        pthread_cond_wait(&pool.wake, &pool.mutex);
    }
    atomic_fetch_sub(&pool.sleepers, 1);
    pthread_mutex_unlock(&pool.mutex);
    return atomic_load(&pool.round);
}

static void *work(void *thread)
{
    for (unsigned round = 0;;) {
        round = await_round(round);
        run_tasks((int)(intptr_t)thread, round);
    }
    return NULL;
}

/* The environment may ask for fewer threads, EDGEC_THREADS=1 for none beside the caller's. */
static int threads_wanted(void)
{
    const char *const text = getenv("EDGEC_THREADS");
    const int asked = text == NULL ? 0 : atoi(text);
    return asked >= 1 && asked < EDGEC_THREADS ? asked : EDGEC_THREADS;
}

static void start_workers(void)
{
    const int threads = threads_wanted();
    for (int worker = 1; worker < threads; ++worker) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, (void *)(intptr_t)worker) != 0) {
            break; /* the others do its tasks */
        }
        pthread_detach(thread);
    }
}

static int launch(edgec_task function, void *context, int tasks)
{
    (void)tasks;
    if (pthread_mutex_trylock(&pool.in_use) != 0) {
        return run_alone(function, context); /* another thread's run has the workers */
    }
    pthread_once(&pool.started, start_workers);
    const unsigned round = atomic_load(&pool.round) + 1;
    pool.function = function;
    pool.context = context;
    atomic_store(&pool.failed, 0);
    atomic_store(&pool.unfinished, EDGEC_THREADS);
    for (int task = 0; task < EDGEC_THREADS; ++task) {
        atomic_store(&pool.tickets[task], 2 * round);
    }
    atomic_store(&pool.round, round);
    if (atomic_load(&pool.sleepers) != 0) {
        pthread_mutex_lock(&pool.mutex);
        pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.mutex);
    }
    run_tasks(0, round);
    for (int spin = 0; atomic_load(&pool.unfinished) != 0; spin = (spin + 1) % SPINS_BETWEEN_YIELDS) {
        relax(spin);
    }
    const int status = atomic_load(&pool.failed) ? -1 : 0;
    pthread_mutex_unlock(&pool.in_use);
    return status;
}

#else

static int launch(edgec_task function, void *context, int tasks)
{
    (void)tasks;
    return run_alone(function, context);
}

#endif
