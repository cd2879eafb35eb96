// The parts of a folded network. Everything is synchronous to one clock; `reset` is synchronous and active high.

// Words that never change, read with one cycle of delay.
module edgec_table #(
    parameter WIDTH = 8,
    parameter WORDS = 2,
    parameter ADDRESS_BITS = 1,
    parameter CONTENTS = ""
) (
    input clk,
    input [ADDRESS_BITS-1:0] address,
    output reg [WIDTH-1:0] word
);
    reg [WIDTH-1:0] words [0:WORDS-1];
    initial $readmemh(CONTENTS, words);
    always @(posedge clk) word <= words[address];
endmodule

// Holds the values that an engine reads: filled one element a cycle, then read at will until it is released.
module edgec_buffer #(
    parameter WIDTH = 8,
    parameter WORDS = 2,
    parameter ADDRESS_BITS = 1
) (
    input clk,
    input reset,
    input valid,
    output ready,
    input [WIDTH-1:0] data,
    output reg full,
    input free,
    input [ADDRESS_BITS-1:0] address,
    output reg [WIDTH-1:0] word
);
    reg [WIDTH-1:0] words [0:WORDS-1];
    reg [ADDRESS_BITS-1:0] next;
    assign ready = ~full;
    always @(posedge clk) begin
        word <= words[address];
        if (valid & ~full) words[next] <= data;
        if (reset | free) begin
            full <= 1'b0;
            next <= 0;
        end else if (valid & ~full) begin
            full <= next == WORDS - 1;
            next <= next + 1'b1;
        end
    end
endmodule

// Works through ITEMS sums of TERMS products, LANES sums at a time, and gives their results one by one.
// `table_index`, `weight_index` and `bias_index` say what is wanted; `data` and `weights` come two cycles later,
// `biases` one.
// KIND 0: sums of products. KIND 1: the largest of TERMS. KIND 2: `data * FACTOR + second * SECOND_FACTOR`.
module edgec_engine #(
    parameter KIND = 0,
    parameter ITEMS = 1,
    parameter TERMS = 1,
    parameter TERM_BITS = 1,
    parameter LANES = 1,
    parameter LANE_BITS = 1,
    parameter BLOCKS = 1,
    parameter POSITIONS = 1,
    parameter DATA_BITS = 8,
    parameter SECOND_BITS = 1,
    parameter WEIGHT_BITS = 8,
    parameter RAW_BITS = 16,
    parameter FACTOR = 1,
    parameter SECOND_FACTOR = 1
) (
    input clk,
    input reset,
    input full,
    output free,
    output reg [31:0] table_index,
    output reg [31:0] weight_index,
    output reg [31:0] bias_index,
    input signed [DATA_BITS-1:0] data,
    input signed [SECOND_BITS-1:0] second,
    input [LANES*WEIGHT_BITS-1:0] weights,
    input [LANES*RAW_BITS-1:0] biases,
    output valid,
    input take,
    output [RAW_BITS-1:0] raw
);
    localparam IDLE = 2'd0, ISSUE = 2'd1, SETTLE = 2'd2, DRAIN = 2'd3;
    reg [1:0] state;
    reg [TERM_BITS-1:0] term;
    reg [LANE_BITS-1:0] lane;
    reg [31:0] item, block, position;
    reg [2:0] first, last, issued;
    reg [LANES*RAW_BITS-1:0] sums;

    wire end_of_item = state == DRAIN & take & lane == LANES - 1;
    wire end_of_inference = end_of_item & item == ITEMS - 1;
    assign free = end_of_inference;
    assign valid = state == DRAIN;
    assign raw = sums[RAW_BITS-1:0];

    always @(posedge clk) begin
        first <= {first[1:0], state == ISSUE & term == 0};
        last <= {last[1:0], state == ISSUE & term == TERMS - 1};
        issued <= {issued[1:0], state == ISSUE};
        case (state)
            IDLE: if (full) state <= ISSUE;
            ISSUE: begin
                term <= term + 1'b1;
                table_index <= table_index + 1;
                weight_index <= weight_index + 1;
                if (term == TERMS - 1) begin
                    term <= 0;
                    state <= SETTLE;
                end
            end
            SETTLE: if (last[1]) state <= DRAIN;
            DRAIN: if (take) begin
                lane <= lane + 1'b1;
                if (lane == LANES - 1) begin
                    lane <= 0;
                    state <= item == ITEMS - 1 ? IDLE : ISSUE;
                    item <= item + 1;
                    if (block == BLOCKS - 1) begin
                        block <= 0;
                        if (position == POSITIONS - 1) begin
                            position <= 0;
                            bias_index <= bias_index + 1;
                        end else begin
                            position <= position + 1;
                            weight_index <= weight_index - BLOCKS * TERMS;
                            bias_index <= bias_index - (BLOCKS - 1);
                        end
                    end else begin
                        block <= block + 1;
                        table_index <= table_index - TERMS;
                        bias_index <= bias_index + 1;
                    end
                end
            end
        endcase
        if (reset | end_of_inference) begin
            {term, lane, item, block, position} <= 0;
            {table_index, weight_index, bias_index} <= 0;
        end
        if (reset) begin
            state <= IDLE;
            {first, last, issued} <= 0;
        end
    end

    genvar at;
    generate
        for (at = 0; at < LANES; at = at + 1) begin : lanes
            wire signed [RAW_BITS-1:0] sum = sums[at*RAW_BITS +: RAW_BITS];
            wire signed [RAW_BITS-1:0] wide = data;
            wire signed [RAW_BITS-1:0] start = biases[at*RAW_BITS +: RAW_BITS];
            wire signed [WEIGHT_BITS-1:0] weight = weights[at*WEIGHT_BITS +: WEIGHT_BITS];
            wire signed [DATA_BITS+WEIGHT_BITS-1:0] product = data * weight;
            wire signed [RAW_BITS-1:0] other = second;
            wire signed [RAW_BITS-1:0] next =
                KIND == 0 ? (first[1] ? start : sum) + product :
                KIND == 1 ? (first[1] | wide > sum ? wide : sum) :
                wide * FACTOR + other * SECOND_FACTOR;
            wire signed [RAW_BITS-1:0] shifted = at == LANES - 1 ? 0 : sums[((at + 1) % LANES)*RAW_BITS +: RAW_BITS];
            always @(posedge clk)
                if (issued[1]) sums[at*RAW_BITS +: RAW_BITS] <= next;
                else if (state == DRAIN & take) sums[at*RAW_BITS +: RAW_BITS] <= shifted;
        end
    endgenerate
endmodule
