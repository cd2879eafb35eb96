/* Simulation of gates that take time: a gate is worked out again one delay after any of its inputs changed. Pulses that
 * are shorter than a gate's delay vanish in it, longer ones travel on as glitches and are counted as such.
 */
enum { WHEEL = 4096 }; /* longer than any delay */

struct bucket {
    uint32_t *gates;
    size_t count, room;
};

static struct bucket wheel[WHEEL];
static uint32_t *first_reader, *readers; /* of each net: gates, then flip-flops as GATES + number */
static uint64_t *planned;                /* the time for which a gate was planned last */
static uint64_t now = 1;
static size_t waiting;
static uint32_t *changed, *spare;        /* flip-flops whose data may differ from what they hold */
static size_t changed_count;
static unsigned char *is_changed;

static void mark(uint32_t flip_flop) {
    if (is_changed[flip_flop]) return;
    is_changed[flip_flop] = 1;
    changed[changed_count++] = flip_flop;
}

static void plan(uint32_t gate) {
    uint64_t when = now + gates[gate].delay;
    if (planned[gate] == when) return;
    planned[gate] = when;
    struct bucket *bucket = &wheel[when % WHEEL];
    if (bucket->count == bucket->room) {
        bucket->room = bucket->room ? 2 * bucket->room : 64;
        bucket->gates = realloc(bucket->gates, bucket->room * sizeof *bucket->gates);
        if (!bucket->gates) fail("out of memory");
    }
    bucket->gates[bucket->count++] = gate;
    ++waiting;
}

static void put(uint32_t net, word value) {
    if (nets[net] == value) return;
    set_net(net, value);
    for (uint32_t at = first_reader[net]; at < first_reader[net + 1]; ++at) {
        if (readers[at] < GATES) plan(readers[at]);
        else mark(readers[at] - GATES);
    }
}

static void settle_in_time(void) {
    for (; waiting; ++now) {
        struct bucket *bucket = &wheel[now % WHEEL];
        for (size_t at = 0; at < bucket->count; ++at) {
            const struct gate *gate = &gates[bucket->gates[at]];
            put(gate->output, value_of(gate));
        }
        waiting -= bucket->count;
        bucket->count = 0;
    }
}

static void clock_flip_flops(void) {
    size_t count = changed_count;
    for (size_t at = 0; at < count; ++at) {
        held[changed[at]] = nets[flip_flops[changed[at]].data];
        is_changed[changed[at]] = 0;
    }
    uint32_t *clocked = changed;
    changed = spare;
    spare = clocked;
    changed_count = 0;
    for (size_t at = 0; at < count; ++at) put(flip_flops[clocked[at]].output, held[clocked[at]]);
}

/* Who reads each net, and everything to be worked out once. */
static void begin_events(void) {
    size_t links = FLIP_FLOPS;
    for (size_t at = 0; at < GATES; ++at) links += (size_t)gates[at].inputs;
    first_reader = reserve(NETS + 2, sizeof *first_reader);
    readers = reserve(links, sizeof *readers);
    planned = reserve(GATES, sizeof *planned);
    changed = reserve(FLIP_FLOPS, sizeof *changed);
    spare = reserve(FLIP_FLOPS, sizeof *spare);
    is_changed = reserve(FLIP_FLOPS, 1);
    for (size_t at = 0; at < GATES; ++at)
        for (int input = 0; input < gates[at].inputs; ++input) ++first_reader[sources[gates[at].first + input] + 2];
    for (size_t at = 0; at < FLIP_FLOPS; ++at) ++first_reader[flip_flops[at].data + 2];
    for (size_t net = 1; net < NETS + 2; ++net) first_reader[net] += first_reader[net - 1];
    for (size_t at = 0; at < GATES; ++at)
        for (int input = 0; input < gates[at].inputs; ++input)
            readers[first_reader[sources[gates[at].first + input] + 1]++] = (uint32_t)at;
    for (size_t at = 0; at < FLIP_FLOPS; ++at)
        readers[first_reader[flip_flops[at].data + 1]++] = (uint32_t)(GATES + at);
}

static void wake_everything(void) {
    for (size_t at = 0; at < GATES; ++at) plan((uint32_t)at);
    for (size_t at = 0; at < FLIP_FLOPS; ++at) mark((uint32_t)at);
}
