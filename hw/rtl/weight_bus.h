/* The master of an I2C bus: writes the image of the weights, and reads the checksum. Every level is held for four clock
 * cycles, and a bit takes three levels.
 */
static void hold(int clock, int level) {
    put(SCL_NET, clock ? ~(word)0 : 0);
    for (int cycle = 0; cycle < 4; ++cycle) {
        put(SDA_NET, level && !(nets[SDA_LOW_NET] & 1) ? ~(word)0 : 0);
        tick();
    }
}

static int send_bit(int level) {
    hold(0, level);
    hold(1, level);
    int seen = (int)(nets[SDA_NET] & 1);
    hold(0, level);
    return seen;
}

/* The address `DEVICE` and bytes of the weights are of no use to a chip that does not answer. */
static void send_byte(unsigned value) {
    for (int bit = 7; bit >= 0; --bit) send_bit(value >> bit & 1);
    if (send_bit(1)) fail("the network does not acknowledge a byte on its I2C bus");
}

static unsigned receive_byte(int last) {
    unsigned value = 0;
    for (int bit = 0; bit < 8; ++bit) value = value << 1 | (unsigned)send_bit(1);
    send_bit(last);
    return value;
}

static void send_start(unsigned reading) {
    hold(1, 1);
    hold(1, 0);
    hold(0, 0);
    send_byte((unsigned)DEVICE << 1 | reading);
}

static void send_stop(void) {
    hold(0, 0);
    hold(1, 0);
    hold(1, 1);
}

static void load_weights(const unsigned char *image, size_t size) {
    send_start(0);
    send_byte(0);
    send_byte(0);
    for (size_t at = 0; at < size; ++at) send_byte(image[at]);
    send_stop();
    send_start(1);
    unsigned high = receive_byte(0), low = receive_byte(1);
    send_stop();
    if (high | low) fail("the checksum of the weights is wrong");
}
