/* A runner that obeys the protocol of artefacts: the output is twice the input, in two kernel calls. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef REPEATS
#define REPEATS 1
#endif
#ifndef READINGS
#define READINGS 0
#endif

enum { ELEMENTS = 64 };

static long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

__attribute__((noinline)) static void kernel_add(const volatile float *in, volatile float *out) {
  for (int i = 0; i < ELEMENTS; ++i) out[i] = in[i] + in[i];
}

__attribute__((noinline)) static void kernel_copy(const volatile float *in, volatile float *out) {
  for (int i = 0; i < ELEMENTS; ++i) out[i] = in[i];
}

static long long step_nanoseconds[2];

__attribute__((noinline)) static void run(const float *in, float *out, int traced, int marked) {
  static float between[ELEMENTS];
  long long start = traced ? now() : 0;
  if (marked) close(-2);
  for (int i = 0; i < REPEATS; ++i) kernel_add(in, between);
  if (marked) close(-3), close(-4);
  long long middle = traced ? now() : 0;
  for (int i = 0; i < REPEATS; ++i) kernel_copy(between, out);
  if (marked) close(-5);
  if (!traced) return;
  step_nanoseconds[0] += middle - start;
  step_nanoseconds[1] += now() - middle;
}

int main(int count, char **arguments) {
  static float in[ELEMENTS], out[ELEMENTS];
  int warmup = 0, iterations = 1, marked = 0;
  FILE *trace = NULL;
  for (int i = 3; i + 1 < count; i += 2) {
    if (!strcmp(arguments[i], "--warmup")) warmup = atoi(arguments[i + 1]);
    if (!strcmp(arguments[i], "--iterations")) iterations = atoi(arguments[i + 1]);
    if (!strcmp(arguments[i], "--mark")) marked = 1;
    if (!strcmp(arguments[i], "--trace")) trace = fopen(arguments[i + 1], "w");
  }
  FILE *file = fopen(arguments[1], "rb");
  if (fread(in, 1, sizeof in, file) != sizeof in) return 2;
  fclose(file);
  if (getenv("RUNNER_FAULT") != NULL && !strcmp(getenv("RUNNER_FAULT"), "illegal")) raise(SIGILL);
  if (getenv("RUNNER_FAULT") != NULL && !strcmp(getenv("RUNNER_FAULT"), "hang")) for (;;) now();
  for (int i = 0; i < warmup + iterations; ++i) {
    long long start = now();
    run(in, out, trace != NULL && i >= warmup, marked && i >= warmup);
    for (int reading = 0; reading < READINGS; ++reading) now();
    long long taken = now() - start;
    if (i < warmup) continue;
    printf("{\"iteration\": %d, \"nanoseconds\": %lld}\n", i - warmup, taken);
  }
  for (int step = 0; trace != NULL && step < 2; ++step)
    fprintf(trace, "{\"step\": %d, \"nanoseconds\": %lld}\n", step, step_nanoseconds[step] / iterations);
  if (trace != NULL) fclose(trace);
  file = fopen(arguments[2], "wb");
  fwrite(out, 1, getenv("RUNNER_FAULT") != NULL && !strcmp(getenv("RUNNER_FAULT"), "short") ? 4 : sizeof out, file);
  fclose(file);
  return 0;
}
