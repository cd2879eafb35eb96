// The slave of an I2C bus through which weights are written. Source: NXP UM10204, the I2C-bus specification, section 3.
//
//   write: START, device address + 0, register address high, low, bytes ..., STOP; the address counts up by itself.
//   read:  START, device address + 1, checksum high, low, STOP.
//
// The checksum is CRC-16/CCITT-FALSE (polynomial 0x1021, from 0xFFFF) over all bytes written since register 0 was.
// An image that ends in its own checksum, high byte first, leaves 0. The clock must be 16 times the bus's or faster.
// There is no reset: START begins anew, and a bus that is held after power-up is free after nine clocks of SCL.
module edgec_i2c #(
    parameter DEVICE = 7'h2a,
    parameter COPIES = 1
) (
    input clk,
    input scl,
    input sda,
    output sda_low,
    output write,
    output [15:0] address,
    output [7:0] data
);
    localparam IDLE = 3'd0, DEVICE_BYTE = 3'd1, HIGH = 3'd2, LOW = 3'd3, WRITE = 3'd4, READ = 3'd5;

    wire [2:0] clock_line, data_line;
    edgec_register #(.WIDTH(6), .COPIES(COPIES)) lines (
        .clk(clk),
        .d({clock_line[1:0], scl, data_line[1:0], sda}),
        .q({clock_line, data_line}));
    wire high = clock_line[1] & clock_line[2];
    wire rising = clock_line[1] & ~clock_line[2];
    wire falling = ~clock_line[1] & clock_line[2];
    wire start = high & ~data_line[1] & data_line[2];
    wire stop = high & data_line[1] & ~data_line[2];

    wire [2:0] phase;
    wire [3:0] count;
    wire [7:0] shift;
    wire [15:0] pointer, checksum;
    wire pulling;
    reg [2:0] next_phase;
    reg [3:0] next_count;
    reg [7:0] next_shift;
    reg [15:0] next_pointer, next_checksum;
    reg next_pulling;
    edgec_register #(.WIDTH(48), .COPIES(COPIES)) state (
        .clk(clk),
        .d({next_phase, next_count, next_shift, next_pointer, next_checksum, next_pulling}),
        .q({phase, count, shift, pointer, checksum, pulling}));

    assign sda_low = pulling;
    assign write = falling & count == 8 & phase == WRITE;
    assign address = pointer;
    assign data = shift;

    function [15:0] with_byte(input [15:0] before, input [7:0] value);
        integer bit_;
        begin
            with_byte = before ^ {value, 8'b0};
            for (bit_ = 0; bit_ < 8; bit_ = bit_ + 1)
                with_byte = {with_byte[14:0], 1'b0} ^ (with_byte[15] ? 16'h1021 : 16'h0);
        end
    endfunction

    wire [7:0] sent = pointer[0] ? checksum[7:0] : checksum[15:8];
    always @* begin
        {next_phase, next_count, next_shift} = {phase, count, shift};
        {next_pointer, next_checksum, next_pulling} = {pointer, checksum, pulling};
        if (start) begin
            {next_phase, next_count, next_pulling} = {DEVICE_BYTE, 4'd0, 1'b0};
        end else if (stop) begin
            {next_phase, next_pulling} = {IDLE, 1'b0};
        end else if (rising) begin
            next_count = count + 1'b1;
            next_shift = {shift[6:0], data_line[1]};
            if (count == 8 & phase == READ & data_line[1]) next_phase = IDLE;
        end else if (falling & count == 8) begin
            next_pulling = phase != IDLE & phase != READ;
            case (phase)
                DEVICE_BYTE: if (shift[7:1] == DEVICE) begin
                    next_phase = shift[0] ? READ : HIGH;
                    if (shift[0]) next_pointer = 0;
                end else begin
                    {next_phase, next_pulling} = {IDLE, 1'b0};
                end
                HIGH: {next_pointer[15:8], next_phase} = {shift, LOW};
                LOW: {next_pointer[7:0], next_phase} = {shift, WRITE};
                WRITE: begin
                    next_pointer = pointer + 1'b1;
                    next_checksum = with_byte(pointer == 0 ? 16'hffff : checksum, shift);
                end
                default: ;
            endcase
        end else if (falling & count == 9) begin
            next_count = 0;
            next_pulling = phase == READ & ~sent[7];
            if (phase == READ) begin
                next_shift = sent;
                next_pointer = pointer + 1'b1;
            end
        end else if (falling & phase == READ & count != 0) begin
            next_pulling = ~shift[7];
        end
    end
endmodule
