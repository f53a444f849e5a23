// The page is whole without this: it adds pointing at scores, picking rungs, sorting tables and copying text.
(() => {
  "use strict";
  const store = document.getElementById("points");
  const words = store ? JSON.parse(store.textContent) : null;

  const button = (text, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", () => act(made));
    return made;
  };

  if (words) {
    const figure = document.getElementById("figure-scores");
    const drawn = (i) => figure.querySelectorAll(`g[id*="-rung-${i}-"]`);
    const picks = document.createElement("div");
    picks.className = "picks";
    picks.setAttribute("role", "group");
    picks.setAttribute("aria-label", words.pick);
    words.rungs.forEach((rung, i) => {
      if (!drawn(i).length) return;
      const pick = button(rung.name, (made) => {
        const isShown = made.getAttribute("aria-pressed") === "true";
        made.setAttribute("aria-pressed", String(!isShown));
        drawn(i).forEach((group) => group.classList.toggle("put-aside", isShown));
      });
      pick.setAttribute("aria-pressed", "true");
      picks.append(pick);
    });
    if (picks.childElementCount > 1) figure.prepend(picks);

    const tip = document.createElement("div");
    tip.id = "tip";
    tip.hidden = true;
    document.body.append(tip);
    const marks = [];
    words.rungs.forEach((rung, i) => {
      ["wide", "narrow"].forEach((shape) => {
        const found = figure.querySelectorAll(`g[id^="scores-${shape}-rung-${i}-points"] use`);
        found.forEach((mark, k) => { if (rung.texts[k]) marks.push([mark, rung.texts[k]]); });
      });
    });
    figure.addEventListener("pointermove", (event) => {
      let nearest = null, least = 28;
      for (const [mark, text] of marks) {
        const box = mark.getBoundingClientRect();
        if (!box.width) continue;
        const away = Math.hypot(box.x + box.width / 2 - event.clientX, box.y + box.height / 2 - event.clientY);
        if (away < least) { least = away; nearest = [box, text]; }
      }
      tip.hidden = !nearest;
      if (!nearest) return;
      tip.textContent = nearest[1];
      const left = Math.min(nearest[0].x + 14, document.documentElement.clientWidth - tip.offsetWidth - 8);
      tip.style.left = `${Math.max(8, left) + scrollX}px`;
      tip.style.top = `${nearest[0].y + scrollY - tip.offsetHeight - 6}px`;
    });
    figure.addEventListener("pointerleave", () => { tip.hidden = true; });
  }

  const valueOf = (cell) => {
    const text = ((cell.querySelector(".estimate") || cell).textContent || "").trim();
    const number = parseFloat(text.replace(/[,\s]/g, "").replace("\u2212", "-").replace("<", ""));
    return Number.isNaN(number) ? text : number;
  };
  const compare = (a, b) => {
    if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b);
    return typeof a === "number" ? -1 : 1;  // what has no number comes last
  };
  document.querySelectorAll("table.sortable").forEach((table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const sort = button(head.textContent, () => {
        const isUp = head.getAttribute("aria-sort") === "descending" || (column === 0 && !head.hasAttribute("aria-sort"));
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", isUp ? "ascending" : "descending");
        const body = table.tBodies[0];
        const rows = [...body.rows].map((row) => [valueOf(row.cells[Math.min(column, row.cells.length - 1)]), row]);
        rows.sort((a, b) => {
          const order = compare(a[0], b[0]);
          return isUp || typeof a[0] !== typeof b[0] ? order : -order;
        });
        body.append(...rows.map((row) => row[1]));
      });
      head.replaceChildren(sort);
    });
  });

  if (navigator.clipboard && words) {
    document.querySelectorAll("pre").forEach((text) => {
      const frame = document.createElement("div");
      frame.className = "copied";
      text.replaceWith(frame);
      frame.append(text, button(words.copy, (made) => {
        navigator.clipboard.writeText(text.textContent).then(() => { made.textContent = words.done; });
      }));
    });
  }
})();
