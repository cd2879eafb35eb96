"use strict";
// Sorting and filtering of the layer table; the page is complete without them.
(() => {
  const table = document.getElementById("layer-table");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const layers = rows.filter((row) => !row.classList.contains("rest"));
  const rest = rows.filter((row) => row.classList.contains("rest"));
  const heads = [...table.tHead.rows[0].cells];

  const key = (row, column) => {
    const text = row.cells[column].textContent.trim();
    const number = Number(text.replaceAll(",", "").replace("−", "-"));
    return heads[column].classList.contains("n") ? number : text;
  };

  heads.forEach((head, column) => {
    if (head.classList.contains("barhead")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const isNumber = head.classList.contains("n") && column > 0;
      const was = head.getAttribute("aria-sort");
      const falling = was ? was === "ascending" : isNumber;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      layers.sort((left, right) => {
        const [a, b] = [key(left, column), key(right, column)];
        const order = a < b ? -1 : a > b ? 1 : 0;
        return falling ? -order : order;
      });
      body.append(...layers, ...rest);
    });
  });

  const filter = document.getElementById("filter");
  const shown = document.getElementById("shown");
  filter.closest("p").hidden = false;
  filter.addEventListener("input", () => {
    const wanted = filter.value.toLowerCase();
    let count = 0;
    for (const row of layers) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
      count += row.hidden ? 0 : 1;
    }
    shown.textContent = wanted ? `${count} of ${layers.length}` : "";
  });
})();
