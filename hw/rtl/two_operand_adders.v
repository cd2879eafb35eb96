// A map for Yosys' techmap, before its synthesis: sums stay adders of two operands, as the carry chains of an FPGA have
// them. Without it `alumacc` joins sums of sums into one, and adds these by full adders of two look-up tables a bit.
(* techmap_celltype = "$add $sub" *)
module two_operand_adder (A, B, Y);
    parameter _TECHMAP_CELLTYPE_ = "";
    parameter A_SIGNED = 0;
    parameter B_SIGNED = 0;
    parameter A_WIDTH = 1;
    parameter B_WIDTH = 1;
    parameter Y_WIDTH = 1;
    input [A_WIDTH-1:0] A;
    input [B_WIDTH-1:0] B;
    output [Y_WIDTH-1:0] Y;
    wire [Y_WIDTH-1:0] unused_x, unused_co;
    wire subtracted = _TECHMAP_CELLTYPE_ == "$sub";
    \$alu #(
        .A_SIGNED(A_SIGNED), .B_SIGNED(B_SIGNED), .A_WIDTH(A_WIDTH), .B_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH)
    ) _TECHMAP_REPLACE_ (.A(A), .B(B), .BI(subtracted), .CI(subtracted), .X(unused_x), .Y(Y), .CO(unused_co));
endmodule
