"""Liberty files as libraries of standard cells write them."""

from __future__ import annotations

import pytest

from edgec.backends.rtl.liberty import read_liberty

LIBRARY = """
/* delay model : typ */
library(typical) {
  time_unit : "1ns";
  leakage_power_unit : "1nW";
  capacitive_load_unit (1,pf);
  nom_voltage : 1.8;
  lu_table_template(delay_2x2) {
    variable_1 : total_output_net_capacitance;
    index_1 ("1000.0, 1001.0");
  }
  cell (NAND2X1) {
    area : 24;
    cell_leakage_power : 0.04;
    pin(A)  { direction : input; capacitance : 0.0127; }
    pin(B)  { direction : input; capacitance : 0.0127; }
    pin(Y)  {
      direction : output;
      function : "(!(A B))";
      timing() {
        related_pin : "A";
        cell_rise(delay_2x2) {
          values ( \\
            "0.10, 0.12", \\
            "0.14, 0.20");
        }
      }
      internal_power() {
        related_pin : "A";
        rise_power(energy_2x2) { values ("0.03, 0.03", "0.03, 0.03"); }
      }
    }
  }
  cell (TBUFX1) {
    area : 40;
    pin(A)  { direction : input; capacitance : 0.01; }
    pin(EN)  { direction : input; capacitance : 0.01; }
    pin(Y)  { direction : output; function : "(!A)"; three_state : "(!EN)"; }
  }
  cell (LATCH) {
    area : 72;
    latch (DS0000,P0000) { enable : "CLK"; data_in : "D"; }
    pin(D)  { direction : input; capacitance : 0.01; }
    pin(CLK)  { direction : input; capacitance : 0.01; }
    pin(Q)  { direction : output; function : "DS0000"; }
  }
}
"""


def test_costs_are_in_square_micrometres_femtofarads_picoseconds_and_femtojoules() -> None:
    library = read_liberty(LIBRARY)
    cost = library.costs["NAND2X1"]
    assert (library.volts, cost.area_um2, cost.leakage_nw) == (1.8, 24, 0.04)
    assert cost.pin_capacitance_ff == pytest.approx(12.7)
    assert cost.delay_ps == pytest.approx(130)
    assert cost.internal_fj == pytest.approx(30)


def test_cells_that_are_no_function_of_their_inputs_are_left_out() -> None:
    assert set(read_liberty(LIBRARY).functions) == {"NAND2X1"}
