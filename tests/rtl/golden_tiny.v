module tiny (
    input clk,
    input [31:0] x,
    output [47:0] y
);
    wire [31:0] v0 = x[31:0];
    wire [86:0] v1;
    wire [88:0] v1_p0_now;
    tiny_product0 v1_p0 (.clk(clk), .model_inp({v0[31:24], v0[23:16], v0[15:8], v0[7:0]}), .model_out(v1_p0_now));
    assign v1[13:0] = {v1_p0_now[13:0]};
    assign v1[28:14] = {v1_p0_now[29:15]};
    assign v1[43:29] = {v1_p0_now[45:31]};
    assign v1[57:44] = {v1_p0_now[59:46]};
    assign v1[71:58] = {v1_p0_now[73:60]};
    assign v1[86:72] = {v1_p0_now[88:74]};
    wire [47:0] v2_next;
    wire signed [14:0] v2_next_0_p = $signed({{1{v1[13]}}, v1[13:0]}) << 0;
    wire signed [10:0] v2_next_0_r = {v2_next_0_p[14], v2_next_0_p[14:6], (v2_next_0_p[5] & (|v2_next_0_p[4:0]))};
    assign v2_next[7:0] = v2_next_0_r[10] ? 8'd0 : (v2_next_0_r[7:0]);
    wire signed [15:0] v2_next_1_p = $signed({{1{v1[28]}}, v1[28:14]}) << 0;
    wire signed [11:0] v2_next_1_r = {v2_next_1_p[15], v2_next_1_p[15:6], (v2_next_1_p[5] & (|v2_next_1_p[4:0]))};
    assign v2_next[15:8] = v2_next_1_r[11] ? 8'd0 : ((~v2_next_1_r[11] & (|v2_next_1_r[11:8])) ? 8'd255 : v2_next_1_r[7:0]);
    wire signed [15:0] v2_next_2_p = $signed({{1{v1[43]}}, v1[43:29]}) << 0;
    wire signed [11:0] v2_next_2_r = {v2_next_2_p[15], v2_next_2_p[15:6], (v2_next_2_p[5] & (|v2_next_2_p[4:0]))};
    assign v2_next[23:16] = v2_next_2_r[11] ? 8'd0 : ((~v2_next_2_r[11] & (|v2_next_2_r[11:8])) ? 8'd255 : v2_next_2_r[7:0]);
    wire signed [14:0] v2_next_3_p = $signed({{1{v1[57]}}, v1[57:44]}) << 0;
    wire signed [10:0] v2_next_3_r = {v2_next_3_p[14], v2_next_3_p[14:6], (v2_next_3_p[5] & (|v2_next_3_p[4:0]))};
    assign v2_next[31:24] = v2_next_3_r[10] ? 8'd0 : (v2_next_3_r[7:0]);
    wire signed [14:0] v2_next_4_p = $signed({{1{v1[71]}}, v1[71:58]}) << 0;
    wire signed [10:0] v2_next_4_r = {v2_next_4_p[14], v2_next_4_p[14:6], (v2_next_4_p[5] & (|v2_next_4_p[4:0]))};
    assign v2_next[39:32] = v2_next_4_r[10] ? 8'd0 : (v2_next_4_r[7:0]);
    wire signed [15:0] v2_next_5_p = $signed({{1{v1[86]}}, v1[86:72]}) << 0;
    wire signed [11:0] v2_next_5_r = {v2_next_5_p[15], v2_next_5_p[15:6], (v2_next_5_p[5] & (|v2_next_5_p[4:0]))};
    assign v2_next[47:40] = v2_next_5_r[11] ? 8'd0 : ((~v2_next_5_r[11] & (|v2_next_5_r[11:8])) ? 8'd255 : v2_next_5_r[7:0]);
    reg [47:0] v2;
    always @(posedge clk) v2 <= v2_next;
    wire [47:0] v3;
    wire [49:0] v3_p0_now;
    tiny_product1 v3_p0 (.clk(clk), .model_inp({v2[47:40], v2[39:32], v2[31:24], v2[23:16], v2[15:8], v2[7:0]}), .model_out(v3_p0_now));
    assign v3[15:0] = {v3_p0_now[15:0]};
    assign v3[31:16] = {v3_p0_now[32:17]};
    assign v3[47:32] = {v3_p0_now[49:34]};
    assign y = {v3};
endmodule
