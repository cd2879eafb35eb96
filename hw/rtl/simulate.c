/* Simulates a netlist on many inputs at once: every net is a word of 64 bits, one lane an independent inference.
 *
 *   simulate INPUTS.bin OUTPUTS.bin [--warmup N] [--iterations N] [--trace FILE] [--toggles FILE]
 *                                   [--weights IMAGE] [--upset REGISTER]
 *
 * INPUTS.bin holds the tensors of one or more inferences, one after the other; OUTPUTS.bin gets theirs. The inputs are
 * quantised and the outputs dequantised here, as the network's host does. The netlist and the layout of its ports are
 * tables that the build generates (netlist.h); sums over lanes of the changes of each net go to the file of toggles.
 * Memories are addressed alike in all lanes: a network's control does not depend on its data. Weights in registers are
 * first loaded over I2C, from the build's image or another. `--upset` turns a flip-flop round in every cycle.
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlist.h"

typedef uint64_t word;

enum { LANES = 64 };

static word *nets, *held;
static word **contents;
static uint64_t *toggles;
static size_t upset = SIZE_MAX;

static void fail(const char *what) {
    fprintf(stderr, "simulate: %s\n", what);
    exit(1);
}

static void *reserve(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) fail("out of memory");
    return memory;
}

/* A function of up to 6 nets by its truth table, folded input by input from the last. */
static word look_up(const struct gate *gate) {
    word table[64];
    unsigned rows = 1u << gate->inputs;
    for (unsigned row = 0; row < rows; ++row) table[row] = (gate->table >> row & 1) ? ~(word)0 : 0;
    for (int input = gate->inputs - 1; input >= 0; --input) {
        word chosen = nets[sources[gate->first + input]];
        rows >>= 1;
        for (unsigned row = 0; row < rows; ++row) table[row] = (table[row] & ~chosen) | (table[row + rows] & chosen);
    }
    return table[0];
}

static void set_net(uint32_t net, word value) {
    toggles[net] += (uint64_t)__builtin_popcountll(nets[net] ^ value);
    nets[net] = value;
}

static word value_of(const struct gate *gate) {
    const uint32_t *from = sources + gate->first;
    uint64_t t = gate->table;
    if (gate->inputs == 2) {
        word a = nets[from[0]], b = nets[from[1]];
        return (-(t & 1) & ~a & ~b) | (-(t >> 1 & 1) & a & ~b) | (-(t >> 2 & 1) & ~a & b) | (-(t >> 3 & 1) & a & b);
    }
    if (gate->inputs == 1) return t == 1 ? ~nets[from[0]] : t == 2 ? nets[from[0]] : t ? ~(word)0 : 0;
    return look_up(gate);
}

#if TIMED
#include "events.h"

static void settle(void) { settle_in_time(); }
#else
static void put(uint32_t net, word value) { nets[net] = value; }

static void settle(void) {
    for (size_t at = 0; at < GATES; ++at) set_net(gates[at].output, value_of(&gates[at]));
}
#endif

/* The number that a row of nets carries; the same in every lane. */
static uint64_t address_of(const uint32_t *bits, unsigned count) {
    uint64_t address = 0;
    for (unsigned bit = 0; bit < count; ++bit) {
        word value = nets[bits[bit]];
        if (value != 0 && value != ~(word)0) fail("a memory is addressed differently from lane to lane");
        address |= (value & 1) << bit;
    }
    return address;
}

static void clock_memories(void) {
    for (size_t at = 0; at < READS; ++at) {
        const struct memory_read *port = &memory_reads[at];
        const struct memory *memory = &memories[port->memory];
        uint64_t address = address_of(sources + port->address, memory->address_bits);
        for (unsigned bit = 0; bit < memory->width; ++bit) {
            word value = address < memory->words ? contents[port->memory][address * memory->width + bit] : 0;
            held[FLIP_FLOPS + port->held + bit] = value;
        }
    }
    for (size_t at = 0; at < WRITES; ++at) {
        const struct memory_write *port = &memory_writes[at];
        const struct memory *memory = &memories[port->memory];
        uint64_t address = address_of(sources + port->address, memory->address_bits);
        for (unsigned bit = 0; bit < memory->width && address < memory->words; ++bit) {
            word enable = nets[sources[port->enable + bit]];
            word *cell = &contents[port->memory][address * memory->width + bit];
            *cell = (*cell & ~enable) | (nets[sources[port->data + bit]] & enable);
        }
    }
}

#if TIMED
static void tick(void) {
    settle();
    clock_flip_flops();
    if (upset < FLIP_FLOPS) {
        put(flip_flops[upset].output, ~nets[flip_flops[upset].output]);
        mark((uint32_t)upset);
    }
}
#else
static void tick(void) {
    settle();
    for (size_t at = 0; at < FLIP_FLOPS; ++at) held[at] = nets[flip_flops[at].data];
    clock_memories();
    for (size_t at = 0; at < FLIP_FLOPS; ++at) set_net(flip_flops[at].output, at == upset ? ~held[at] : held[at]);
    for (size_t at = 0; at < READS; ++at) {
        const struct memory_read *port = &memory_reads[at];
        for (unsigned bit = 0; bit < memories[port->memory].width; ++bit)
            set_net(sources[port->data + bit], held[FLIP_FLOPS + port->held + bit]);
    }
}
#endif

#if WEIGHTS
#include "weight_bus.h"
#endif

static int64_t quantised(const struct tensor *tensor, const unsigned char *raw, size_t element) {
    switch (tensor->kind) {
    case 'f': {
        float real;
        memcpy(&real, raw + 4 * element, 4);
        float steps = nearbyintf(real / (float)tensor->scales[tensor->scale_count > 1 ? element : 0]);
        if (!(steps > (float)tensor->low)) return tensor->low;
        return steps < (float)tensor->high ? (int64_t)steps : tensor->high;
    }
    case 'b': return (int64_t)(int8_t)raw[element] - tensor->zero_point;
    case 'B': return (int64_t)raw[element] - tensor->zero_point;
    case 'h': { int16_t v; memcpy(&v, raw + 2 * element, 2); return v - tensor->zero_point; }
    case 'H': { uint16_t v; memcpy(&v, raw + 2 * element, 2); return v - tensor->zero_point; }
    default: { int32_t v; memcpy(&v, raw + 4 * element, 4); return v - tensor->zero_point; }
    }
}

static void dequantised(const struct tensor *tensor, unsigned char *raw, size_t element, int64_t integer) {
    int64_t shifted = integer + tensor->zero_point;
    if (tensor->kind == 'f') {
        float real = (float)integer * (float)tensor->scales[tensor->scale_count > 1 ? element : 0];
        memcpy(raw + 4 * element, &real, 4);
    } else {
        memcpy(raw + tensor->bytes * element, &shifted, tensor->bytes); /* little-endian machines only */
    }
}

/* Put one element of one lane on its nets, least significant bit first. */
static void drive(const uint32_t *bits, unsigned width, unsigned lane, int64_t value) {
    for (unsigned bit = 0; bit < width; ++bit) {
        word mask = (word)1 << lane;
        put(bits[bit], (nets[bits[bit]] & ~mask) | (-(word)(value >> bit & 1) & mask));
    }
}

static int64_t sense(const uint32_t *bits, unsigned width, int is_signed, unsigned lane) {
    uint64_t value = 0;
    for (unsigned bit = 0; bit < width; ++bit) value |= (nets[bits[bit]] >> lane & 1) << bit;
    if (is_signed && width && (value >> (width - 1) & 1) && width < 64) value |= ~(uint64_t)0 << width;
    return (int64_t)value;
}

static size_t bytes_of(const struct tensor *tensors, size_t count) {
    size_t total = 0;
    for (size_t at = 0; at < count; ++at) total += tensors[at].elements * tensors[at].bytes;
    return total;
}

/* Inferences `first`, `first + stride`, ... of `count` are in the lanes; lanes without one repeat the last. */
static size_t sample_of(size_t first, unsigned lane, size_t stride, size_t count) {
    size_t sample = first + lane * stride;
    return sample < count ? sample : count - 1;
}

#if STREAM
static uint64_t begin_cycle, end_cycle, cycles;

static void reset(void) {
    nets[RESET_NET] = ~(word)0;
    nets[IN_VALID_NET] = 0;
    nets[OUT_READY_NET] = ~(word)0;
    for (int step = 0; step < 4; ++step) tick();
    nets[RESET_NET] = 0;
}

/* One inference after the other in each lane, through a port of one element a cycle. */
static void run_all(const unsigned char *in, unsigned char *out, size_t count) {
    size_t batches = (count + LANES - 1) / LANES, sent = 0, received = 0;
    size_t in_bytes = bytes_of(input_tensors, INPUTS), out_bytes = bytes_of(output_tensors, OUTPUTS);
    size_t in_elements = input_tensors[0].elements, out_elements = output_tensors[0].elements;
    uint64_t idle = 0;
    reset();
    while (received < batches * out_elements) {
        size_t batch = sent / in_elements, element = sent % in_elements;
        nets[IN_VALID_NET] = batch < batches ? ~(word)0 : 0;
        if (batch < batches)
            for (unsigned lane = 0; lane < LANES; ++lane) {
                const unsigned char *raw = in + in_bytes * sample_of(batch, lane, batches, count);
                drive(input_bits, IN_WIDTH, lane, quantised(&input_tensors[0], raw, element));
            }
        settle();
        int taken = batch < batches && (nets[IN_READY_NET] & 1);
        if (nets[OUT_VALID_NET] & 1) {
            size_t done = received / out_elements, at = output_order[received % out_elements];
            for (unsigned lane = 0; lane < LANES; ++lane) {
                size_t sample = done + lane * batches;
                if (sample >= count) continue;
                int64_t value = sense(output_bits, OUT_WIDTH, OUT_SIGNED, lane);
                dequantised(&output_tensors[0], out + out_bytes * sample, at, value);
            }
            if (++received % out_elements == 0) {
                if (done == 0) begin_cycle = cycles + 1;
                end_cycle = cycles + 1;
            }
            idle = 0;
        } else if (++idle > 100000000u) {
            fail("the network gives no result");
        }
        sent += (size_t)taken;
        tick();
        ++cycles;
    }
    fprintf(stderr, "first result after %llu cycles, last of %zu after %llu\n", (unsigned long long)begin_cycle, batches,
            (unsigned long long)end_cycle);
}
#else
/* A new inference in each lane every cycle; its result comes LATENCY cycles later. When all have begun they begin anew,
 * so that every part of the network is busy in the cycles whose changes are counted.
 */
static void run_all(const unsigned char *in, unsigned char *out, size_t count) {
    size_t batches = (count + LANES - 1) / LANES;
    size_t in_bytes = bytes_of(input_tensors, INPUTS), out_bytes = bytes_of(output_tensors, OUTPUTS);
    for (size_t cycle = 0; cycle < batches + LATENCY; ++cycle) {
        for (unsigned lane = 0; lane < LANES; ++lane) {
            const unsigned char *raw = in + in_bytes * sample_of(cycle % batches, lane, batches, count);
            const struct element *part = input_elements;
            for (size_t at = 0; at < INPUTS; raw += input_tensors[at].elements * input_tensors[at].bytes, ++at)
                for (size_t element = 0; element < input_tensors[at].elements; ++element, ++part)
                    drive(input_bits + part->offset, part->width, lane, quantised(&input_tensors[at], raw, element));
        }
        if (TIMED || LATENCY == 0) settle(); /* else the outputs are registers */
        if (cycle >= LATENCY) {
            for (unsigned lane = 0; lane < LANES; ++lane) {
                size_t sample = cycle - LATENCY + lane * batches;
                if (sample >= count) continue;
                unsigned char *raw = out + out_bytes * sample;
                const struct element *part = output_elements;
                for (size_t at = 0; at < OUTPUTS; raw += output_tensors[at].elements * output_tensors[at].bytes, ++at)
                    for (size_t element = 0; element < output_tensors[at].elements; ++element, ++part)
                        dequantised(&output_tensors[at], raw, element,
                                    sense(output_bits + part->offset, part->width, part->is_signed, lane));
            }
        }
        if (cycle < LATENCY) memset(toggles, 0, NETS * sizeof *toggles);
        tick();
    }
}
#endif

static void power_up(const unsigned char *weights, size_t size, size_t upset_later) {
    upset = SIZE_MAX;
    memset(nets, 0, NETS * sizeof *nets);
    nets[ONE_NET] = ~(word)0;
    for (size_t at = 0; at < MEMORIES; ++at)
        for (size_t bit = 0; bit < memories[at].words * (size_t)memories[at].width; ++bit)
            contents[at][bit] = (memory_bits[memories[at].first + bit / 8] >> (bit % 8) & 1) ? ~(word)0 : 0;
    for (size_t at = 0; at < FLIP_FLOPS; ++at) nets[flip_flops[at].output] = flip_flops[at].initial ? ~(word)0 : 0;
#if TIMED
    wake_everything();
#endif
#if WEIGHTS
    load_weights(weights, size);
#else
    if (weights || size) fail("the weights of this network are fixed");
#endif
    upset = upset_later;
    memset(toggles, 0, NETS * sizeof *toggles);
}

static unsigned char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) fail(strerror(errno));
    long length = ftell(file);
    rewind(file);
    unsigned char *data = reserve((size_t)length + 1, 1);
    if (length < 0 || fread(data, 1, (size_t)length, file) != (size_t)length) fail("the inputs cannot be read");
    fclose(file);
    *size = (size_t)length;
    return data;
}

static void write_file(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file)) fail("a file cannot be written");
}

int main(int argc, char **argv) {
    const char *toggle_path = NULL, *trace_path = NULL;
    const unsigned char *weights = WEIGHT_IMAGE;
    size_t weight_bytes = WEIGHT_BYTES, upset_register = SIZE_MAX;
    long iterations = 1;
    if (argc < 3) fail("usage: simulate INPUTS.bin OUTPUTS.bin [--iterations N] [--toggles FILE] [--weights IMAGE] [--upset REGISTER]");
    for (int at = 3; at + 1 < argc; at += 2) {
        if (!strcmp(argv[at], "--iterations")) iterations = atol(argv[at + 1]);
        else if (!strcmp(argv[at], "--toggles")) toggle_path = argv[at + 1];
        else if (!strcmp(argv[at], "--trace")) trace_path = argv[at + 1];
        else if (!strcmp(argv[at], "--weights")) weights = read_file(argv[at + 1], &weight_bytes);
        else if (!strcmp(argv[at], "--upset")) upset_register = (size_t)atol(argv[at + 1]);
        else if (strcmp(argv[at], "--warmup")) fail("unknown option");
    }
    size_t size, one = bytes_of(input_tensors, INPUTS);
    unsigned char *in = read_file(argv[1], &size);
    if (size == 0 || size % one) fail("the inputs are not of the network's size");
    size_t count = size / one, out_size = count * bytes_of(output_tensors, OUTPUTS), held_bits = FLIP_FLOPS + READ_BITS;
    unsigned char *out = reserve(out_size, 1);
    nets = reserve(NETS, sizeof *nets);
    held = reserve(held_bits, sizeof *held);
    toggles = reserve(NETS, sizeof *toggles);
    contents = reserve(MEMORIES + 1, sizeof *contents);
    for (size_t at = 0; at < MEMORIES; ++at) contents[at] = reserve(memories[at].words * (size_t)memories[at].width, sizeof(word));
#if TIMED
    begin_events();
#endif
    for (long iteration = 0; iteration < iterations; ++iteration) {
        power_up(weights, weight_bytes, upset_register);
        run_all(in, out, count);
        printf("{\"iteration\": %ld, \"nanoseconds\": 0}\n", iteration);
    }
    write_file(argv[2], out, out_size);
    if (toggle_path) write_file(toggle_path, toggles, NETS * sizeof *toggles);
    if (trace_path) write_file(trace_path, "", 0);
    return 0;
}
