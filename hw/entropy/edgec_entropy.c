/* See edgec_entropy.h. The state is a stack: the last symbol goes in first, so that decoding runs forwards. */
#include "edgec_entropy.h"

enum { WORD_BYTES = 4, PROBABILITY_BITS = 24, FREQUENCY_BITS = 16, BUCKET_BITS = 8, WORTH_BUCKETS = 64 };

static const uint64_t WORD_LIMIT = (uint64_t)1 << 32;
static const uint32_t ALL = (uint32_t)1 << FREQUENCY_BITS;

typedef struct {
    const uint16_t *cumulative;
    uint32_t symbols;
    int32_t low;
    size_t begin, end; /* the elements that it codes, by their place in the order of coding */
} symbol_table;

static symbol_table table_of(const edgec_entropy_tables *tables, uint32_t number, size_t elements) {
    uint32_t first = tables->first[number];
    symbol_table table = {tables->cumulative + first, tables->first[number + 1] - first, tables->low[number], 0, 0};
    if (tables->places != NULL) {
        table.begin = tables->first_place[number];
        table.end = tables->first_place[number + 1];
    } else {
        size_t per_channel = elements / tables->tables;
        table.begin = number * per_channel;
        table.end = table.begin + per_channel;
    }
    return table;
}

static size_t element_at(const edgec_entropy_tables *tables, size_t place) {
    return tables->places != NULL ? tables->places[place] : place;
}

static uint32_t end_of(const symbol_table *table, uint32_t symbol) {
    return symbol + 1 < table->symbols ? table->cumulative[symbol + 1] : ALL;
}

static void write_word(uint8_t *place, uint32_t word) {
    for (int byte = 0; byte < WORD_BYTES; ++byte) place[byte] = (uint8_t)(word >> (8 * byte));
}

static uint32_t read_word(const uint8_t *place) {
    return (uint32_t)place[0] | (uint32_t)place[1] << 8 | (uint32_t)place[2] << 16 | (uint32_t)place[3] << 24;
}

size_t edgec_entropy_bound(size_t symbols) {
    /* A symbol adds at most 16 bits; the state itself takes two words. */
    return 2 * symbols + 3 * WORD_BYTES;
}

int edgec_entropy_encode(const edgec_entropy_tables *tables, const int8_t *latent, size_t elements,
                         uint8_t *payload, size_t capacity, size_t *length) {
    const unsigned scale = PROBABILITY_BITS - FREQUENCY_BITS;
    uint64_t state = 0;
    size_t used = 0;
    if (capacity < edgec_entropy_bound(elements)) return EDGEC_ENTROPY_NO_SPACE;
    for (uint32_t number = tables->tables; number-- > 0;) {
        symbol_table table = table_of(tables, number, elements);
        for (size_t place = table.end; place-- > table.begin;) {
            uint32_t symbol = (uint32_t)((int32_t)latent[element_at(tables, place)] - table.low);
            if (symbol >= table.symbols) return EDGEC_ENTROPY_OUT_OF_RANGE;
            uint32_t start = table.cumulative[symbol];
            uint64_t probability = (uint64_t)(end_of(&table, symbol) - start) << scale;
            if (state >> (64 - PROBABILITY_BITS) >= probability) {
                write_word(payload + used, (uint32_t)state);
                used += WORD_BYTES;
                state >>= 32;
            }
            state = (state / probability) << PROBABILITY_BITS | (((uint64_t)start << scale) + state % probability);
        }
    }
    for (; state != 0; state >>= 8) payload[used++] = (uint8_t)state;
    *length = used;
    return EDGEC_ENTROPY_OK;
}

/* The symbol in which each of 256 equal ranges of the cumulative frequency begins: the search starts there. */
static void index_buckets(const symbol_table *table, uint8_t *buckets) {
    uint32_t symbol = 0;
    for (uint32_t bucket = 0; bucket < 1u << BUCKET_BITS; ++bucket) {
        while (end_of(table, symbol) <= bucket << (FREQUENCY_BITS - BUCKET_BITS)) ++symbol;
        buckets[bucket] = (uint8_t)symbol;
    }
}

/* The symbol of a cumulative frequency. */
static uint32_t symbol_at(const symbol_table *table, const uint8_t *buckets, uint32_t wanted) {
    uint32_t symbol = 0, last = table->symbols - 1;
    if (buckets != NULL) {
        symbol = buckets[wanted >> (FREQUENCY_BITS - BUCKET_BITS)];
        while (end_of(table, symbol) <= wanted) ++symbol;
        return symbol;
    }
    while (symbol < last) {
        uint32_t middle = (symbol + last + 1) / 2;
        if (table->cumulative[middle] <= wanted) symbol = middle;
        else last = middle - 1;
    }
    return symbol;
}

int edgec_entropy_decode(const edgec_entropy_tables *tables, const uint8_t *payload, size_t length, int8_t *latent,
                         size_t elements) {
    const unsigned scale = PROBABILITY_BITS - FREQUENCY_BITS;
    uint8_t buckets[1 << BUCKET_BITS];
    uint64_t state = 0;
    if (length > 0 && payload[length - 1] == 0) return EDGEC_ENTROPY_CORRUPT;
    while (length % WORD_BYTES != 0) state = state << 8 | payload[--length];
    while (state < WORD_LIMIT && length > 0) state = state << 32 | read_word(payload + (length -= WORD_BYTES));
    for (uint32_t number = 0; number < tables->tables; ++number) {
        symbol_table table = table_of(tables, number, elements);
        /* For few elements, filling the buckets would take longer than all searches. */
        const uint8_t *index = table.end - table.begin >= WORTH_BUCKETS ? buckets : NULL;
        if (index != NULL) index_buckets(&table, buckets);
        for (size_t place = table.begin; place < table.end; ++place) {
            uint32_t quantile = (uint32_t)state & (((uint32_t)1 << PROBABILITY_BITS) - 1);
            uint32_t wanted = quantile >> scale;
            uint32_t symbol = symbol_at(&table, index, wanted);
            uint32_t start = table.cumulative[symbol], end = end_of(&table, symbol);
            state = (state >> PROBABILITY_BITS) * ((uint64_t)(end - start) << scale) + (quantile - (start << scale));
            if (state < WORD_LIMIT && length > 0) state = state << 32 | read_word(payload + (length -= WORD_BYTES));
            latent[element_at(tables, place)] = (int8_t)((int32_t)symbol + table.low);
        }
    }
    /* The encoder began with an empty state: whatever is left was not written by it. */
    return state == 0 && length == 0 ? EDGEC_ENTROPY_OK : EDGEC_ENTROPY_CORRUPT;
}
