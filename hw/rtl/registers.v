// Registers that survive a flipped bit where there are three of each, and weights that are held in them.

// One copy of a register. The three copies of one register are alike, so synthesis must not see into them.
(* keep_hierarchy *)
module edgec_copy #(
    parameter WIDTH = 1
) (
    input clk,
    input [WIDTH-1:0] d,
    output reg [WIDTH-1:0] q
);
    always @(posedge clk) q <= d;
endmodule

// A register with COPIES = 1, or with COPIES = 3 and a vote over each bit.
module edgec_register #(
    parameter WIDTH = 1,
    parameter COPIES = 1
) (
    input clk,
    input [WIDTH-1:0] d,
    output [WIDTH-1:0] q
);
    wire [WIDTH-1:0] first;
    edgec_copy #(.WIDTH(WIDTH)) copy0 (.clk(clk), .d(d), .q(first));
    generate
        if (COPIES == 3) begin : voted
            wire [WIDTH-1:0] second, third;
            edgec_copy #(.WIDTH(WIDTH)) copy1 (.clk(clk), .d(d), .q(second));
            edgec_copy #(.WIDTH(WIDTH)) copy2 (.clk(clk), .d(d), .q(third));
            assign q = (first & second) | (second & third) | (third & first);
        end else begin : alone
            assign q = first;
        end
    endgenerate
endmodule

// A byte of the weights, or as much of one as is used. It is written back in every cycle as it was voted.
module edgec_weight #(
    parameter WIDTH = 8,
    parameter COPIES = 1
) (
    input clk,
    input write,
    input [WIDTH-1:0] data,
    output [WIDTH-1:0] q
);
    edgec_register #(.WIDTH(WIDTH), .COPIES(COPIES)) held (.clk(clk), .d(write ? data : q), .q(q));
endmodule
